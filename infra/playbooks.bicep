// Written by `python -m tools.compose`.
targetScope = 'resourceGroup'

@description('Region of the playbooks.')
param location string = resourceGroup().location

@description('Resource id of the identity of the playbooks.')
param identityResourceId string

@description('Address of the function app.')
param functionBaseUrl string

@description('Audience that the authentication of the function app accepts.')
param functionAudience string

@description('Deploy: MDTI actor brief for Sentinel incidents.')
param incidentActorBrief bool = true

module incidentActorBriefModule '../logicapps/incident-actor-brief/azuredeploy.json' = if (incidentActorBrief) {
  name: 'mdti-incident-actor-brief'
  params: {
    Location: location
    IdentityResourceId: identityResourceId
    FunctionBaseUrl: functionBaseUrl
    FunctionAudience: functionAudience
  }
}
