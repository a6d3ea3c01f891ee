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

@description('Which playbooks to deploy: names of folders in logicapps/.')
param chosen array

module incidentActorBrief '../logicapps/incident-actor-brief/azuredeploy.json' = if (contains(chosen, 'incident-actor-brief')) {
  name: 'mdti-incident-actor-brief'
  params: {
    Location: location
    IdentityResourceId: identityResourceId
    FunctionBaseUrl: functionBaseUrl
    FunctionAudience: functionAudience
  }
}

module mdtiToAnomali '../logicapps/mdti-to-anomali/azuredeploy.json' = if (contains(chosen, 'mdti-to-anomali')) {
  name: 'mdti-mdti-to-anomali'
  params: {
    Location: location
    IdentityResourceId: identityResourceId
    FunctionBaseUrl: functionBaseUrl
    FunctionAudience: functionAudience
  }
}

module threatconnectToSentinel '../logicapps/threatconnect-to-sentinel/azuredeploy.json' = if (contains(chosen, 'threatconnect-to-sentinel')) {
  name: 'mdti-threatconnect-to-sentinel'
  params: {
    Location: location
    IdentityResourceId: identityResourceId
    FunctionBaseUrl: functionBaseUrl
    FunctionAudience: functionAudience
  }
}

module openctiToDefender '../logicapps/opencti-to-defender/azuredeploy.json' = if (contains(chosen, 'opencti-to-defender')) {
  name: 'mdti-opencti-to-defender'
  params: {
    Location: location
    IdentityResourceId: identityResourceId
    FunctionBaseUrl: functionBaseUrl
    FunctionAudience: functionAudience
  }
}

module anyrunToDefender '../logicapps/anyrun-to-defender/azuredeploy.json' = if (contains(chosen, 'anyrun-to-defender')) {
  name: 'mdti-anyrun-to-defender'
  params: {
    Location: location
    IdentityResourceId: identityResourceId
    FunctionBaseUrl: functionBaseUrl
    FunctionAudience: functionAudience
  }
}
