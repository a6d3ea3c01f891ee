"""Bodies as the reference pages of Graph's threat intelligence show them, with our values.

Transcribed from the pages named beside each; where a page shows none, from the v1.0 schema.
"""

from typing import Any

Body = dict[str, Any]
COMPLEX = "microsoft.graph.security."  # the samples have no leading # on complex types

# security-host-get
HOSTNAME: Body = {
    "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#security/threatIntelligence/hosts/$entity",
    "@odata.type": "#microsoft.graph.security.hostname",
    "id": "example.com",
    "firstSeenDateTime": "2011-09-02T03:29:10.000Z",
    "lastSeenDateTime": "2026-11-19T03:29:10.000Z",
    "registrar": "Example Registrar, Inc.",
    "registrant": "Example Organization",
}
# v1.0 schema, ipAddress
ADDRESS: Body = {
    "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#security/threatIntelligence/hosts/$entity",
    "@odata.type": "#microsoft.graph.security.ipAddress",
    "id": "203.0.113.10",
    "firstSeenDateTime": "2019-02-01T00:00:00Z",
    "lastSeenDateTime": "2026-11-18T10:00:00Z",
    "countryOrRegion": "US",
    "hostingProvider": "Example Hosting",
    "netblock": "203.0.113.0/24",
    "autonomousSystem": {
        "name": "EXAMPLE-AS",
        "number": 64500,
        "organization": "Example Hosting LLC",
        "value": "AS64500",
    },
}
# security-host-get-reputation
REPUTATION: Body = {
    "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#reputation/$entity",
    "@odata.type": "#microsoft.graph.security.hostReputation",
    "id": "6f0f6c1e-2a57-1c2e-b7d4-0b4b1a1f5a10",
    "classification": "malicious",
    "score": 100,
    "rules": [
        {
            "name": "Cyber Threat Intelligence",
            "description": "Example Blizzard",
            "severity": "high",
            "relatedDetailsUrl": None,
        },
        {
            "name": "Microsoft Defender Threat Intelligence Intel Article",
            "description": "Activity Snapshot: example actors target a sector",
            "severity": "high",
            "relatedDetailsUrl": "https://ti.defender.microsoft.com/article/0a1b2c3d",
        },
    ],
}
# security-host-list-passivedns
PASSIVE_DNS: Body = {
    "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#security/passiveDns",
    "@odata.count": 2,
    "@odata.nextLink": "https://graph.microsoft.com/v1.0/security/threatIntelligence/hosts/x",
    "value": [
        {
            "@odata.type": "#microsoft.graph.security.passiveDnsRecord",
            "id": "ZXhhbXBsZS5jb20kJDIwMy4wLjExMy4xMCQkZmFsc2U=",
            "firstSeenDateTime": "2022-04-18T10:31:12Z",
            "lastSeenDateTime": "2026-03-07T13:19:35Z",
            "collectedDateTime": "2026-03-07T13:59:34.735Z",
            "recordType": "A",
            "parentHost": {"id": "example.com"},
            "artifact": {
                "@odata.type": "#microsoft.graph.security.ipAddress",
                "id": "203.0.113.10",
            },
        }
    ],
}
# security-threatintelligence-list-intelprofiles
INTEL_PROFILES: Body = {
    "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#security/intelProfiles",
    "value": [
        {
            "@odata.type": "#microsoft.graph.security.intelligenceProfile",
            "id": "7c9e0d8f5b6a4c3d2e1f0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0c9d",
            "kind": "actor",
            "title": "Example Blizzard",
            "firstActiveDateTime": "2020-02-24T00:00:00Z",
            "aliases": ["EXAMPLIUM", "UNC0000"],
            "targets": ["Government Agencies & Services: Defense"],
            "countriesOrRegionsOfOrigin": [
                {
                    "@odata.type": f"{COMPLEX}intelligenceProfileCountryOrRegionOfOrigin",
                    "label": "Exampleland",
                    "code": "XX",
                }
            ],
            "summary": {
                "@odata.type": "microsoft.graph.security.formattedContent",
                "content": "Short text ...",
                "format": "text",
            },
            "description": {
                "@odata.type": "microsoft.graph.security.formattedContent",
                "content": "## Snapshot\r\n...",
                "format": "markdown",
            },
            "tradecraft": {
                "@odata.type": "microsoft.graph.security.formattedContent",
                "content": "...",
                "format": "markdown",
            },
        }
    ],
}
# security-intelligenceprofile-list-indicators
PROFILE_INDICATORS: Body = {
    "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#security/indicators",
    "value": [
        {
            "@odata.type": "#microsoft.graph.security.intelligenceProfileIndicator",
            "id": "3d0c2b66-51a7-2f0e-9a33-0f6f4b1d2c55",
            "source": "microsoft",
            "firstSeenDateTime": "2022-05-02T23:09:20.000Z",
            "lastSeenDateTime": None,
            "artifact": {"@odata.type": "#microsoft.graph.security.hostname", "id": "bad.example"},
        }
    ],
}
# security-threatintelligence-list-articles
ARTICLES: Body = {
    "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#security/articles",
    "value": [
        {
            "id": "0a1b2c3d",
            "createdDateTime": "2026-03-03T18:20:22.677Z",
            "lastUpdatedDateTime": "2026-03-03T18:20:22.677Z",
            "title": "Example campaign abuses legitimate tools",
            "summary": {"content": "...", "format": "markdown"},
            "isFeatured": False,
            "body": {"content": "#### Description\r\n...", "format": "markdown"},
            "tags": ["OSINT", "ExampleLoader", "PowerShell"],
            "imageUrl": None,
        }
    ],
}
# security-article-list-indicators
ARTICLE_INDICATORS: Body = {
    "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#security/indicators",
    "value": [
        {
            "@odata.type": "#microsoft.graph.security.articleIndicator",
            "id": "YmFkLmV4YW1wbGU=",
            "source": "osint",
            "artifact": {"@odata.type": "#microsoft.graph.security.hostname", "id": "bad.example"},
        },
        {
            "@odata.type": "#microsoft.graph.security.articleIndicator",
            "id": "...",
            "source": "public",
            "artifact": {
                "@odata.type": "#microsoft.graph.security.unclassifiedArtifact",
                "id": "...",
                "kind": "sha256",
                "value": "0" * 64,
            },
        },
    ],
}
# concepts/errors
ERROR: Body = {
    "error": {
        "code": "Authorization_RequestDenied",
        "message": "Insufficient privileges to complete the operation.",
        "innerError": {
            "date": "2026-11-21T10:17:06",
            "request-id": "00000000-0000-0000-0000-000000000000",
            "client-request-id": "00000000-0000-0000-0000-000000000000",
        },
    }
}
# security-security-runhuntingquery
HUNTING: Body = {
    "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#microsoft.graph.security.huntingQueryResults",
    "schema": [{"name": "FileName", "type": "String"}],
    "results": [{"FileName": "cmd.exe"}],
}
# App Service, REST endpoint reference 2019-08-01
TOKEN: Body = {
    "access_token": "a.b.c",
    "expires_on": "1586984735",
    "resource": "https://graph.microsoft.com",
    "token_type": "Bearer",
    "client_id": "00000000-0000-0000-0000-000000000000",
}
# v1.0 schema, vulnerability and its ancestors
VULNERABILITY_PROPERTIES = {
    "id",
    "severity",
    "priorityScore",
    "cvss2Summary",
    "cvss3Summary",
    "activeExploitsObserved",
    "exploitsAvailable",
    "hasChatter",
    "exploits",
    "references",
    "commonWeaknessEnumerationIds",
    "description",
    "remediation",
    "publishedDateTime",
    "createdDateTime",
    "lastModifiedDateTime",
}


def shape(value: object) -> object:
    """Return the keys and types of a body; null fits anything, an item stands for its list."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return None if value is None else type(value).__name__


def fits(body: object, sample: object) -> bool:
    """Tell whether two shapes agree where both say something."""
    if body is None or sample is None:
        return True
    if isinstance(body, dict) and isinstance(sample, dict):
        return body.keys() == sample.keys() and all(fits(body[key], sample[key]) for key in body)
    if isinstance(body, list) and isinstance(sample, list):
        return not body or not sample or fits(body[0], sample[0])
    return body == sample
