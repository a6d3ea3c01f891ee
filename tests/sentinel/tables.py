"""The tables and functions that the queries read, with their columns.

The two of threat intelligence are complete (the contract of Sentinel's tables, 1.4); of the others
only what is used is here, so a further column has to be looked up and added.
"""

from typing import Final

TABLES: Final = {
    "ThreatIntelIndicators": """TimeGenerated: datetime, Id: string, SourceSystem: string,
        Source: string, ObservableKey: string, ObservableValue: string, Pattern: string,
        Confidence: int, Created: datetime, Modified: datetime, ValidFrom: datetime,
        ValidUntil: datetime, IsActive: bool, IsDeleted: bool, Revoked: bool, Tags: string,
        Data: dynamic, AdditionalFields: dynamic, LastUpdateMethod: string,
        AzureTenantId: string, WorkspaceId: string, TenantId: string, Type: string,
        _ResourceId: string, _SubscriptionId: string, _BilledSize: real, _IsBillable: string""",
    "ThreatIntelObjects": """TimeGenerated: datetime, Id: string, StixType: string,
        Data: dynamic, AdditionalFields: dynamic, SourceSystem: string, IsDeleted: bool,
        LastUpdateMethod: string, AzureTenantId: string, WorkspaceId: string, TenantId: string,
        Type: string""",
    "UrlClickEvents": """TimeGenerated: datetime, AccountUpn: string, ActionType: string,
        Url: string""",
    "DeviceNetworkEvents": """TimeGenerated: datetime, DeviceName: string, ActionType: string,
        RemoteUrl: string""",
    "DeviceFileEvents": """TimeGenerated: datetime, DeviceName: string, FileName: string,
        MD5: string, SHA1: string, SHA256: string""",
    "DeviceProcessEvents": """TimeGenerated: datetime, DeviceName: string, FileName: string,
        MD5: string, SHA1: string, SHA256: string""",
    "EmailEvents": """TimeGenerated: datetime, SenderFromAddress: string,
        SenderFromDomain: string, RecipientEmailAddress: string, DeliveryAction: string""",
    "SigninLogs": """TimeGenerated: datetime, UserPrincipalName: string, AppDisplayName: string,
        IPAddress: string, ResultType: string""",
    "AADNonInteractiveUserSignInLogs": """TimeGenerated: datetime, UserPrincipalName: string,
        AppDisplayName: string, IPAddress: string, ResultType: string""",
    "SecurityAlert": """TimeGenerated: datetime, AlertName: string, AlertSeverity: string,
        ProviderName: string, ProductName: string""",
}

FUNCTIONS: Final = """
let _Im_NetworkSession = (starttime: datetime = datetime(null), endtime: datetime = datetime(null))
{
    datatable(TimeGenerated: datetime, SrcIpAddr: string, DstIpAddr: string, Dvc: string,
        EventProduct: string) []
    | where TimeGenerated between (starttime .. endtime)
};
let _Im_Dns = (starttime: datetime = datetime(null), endtime: datetime = datetime(null))
{
    datatable(TimeGenerated: datetime, SrcIpAddr: string, DnsQuery: string,
        DnsResponseName: string, Dvc: string) []
    | where TimeGenerated between (starttime .. endtime)
};
"""
"""Stand-ins for the functions of Sentinel's information model (ASIM)."""
