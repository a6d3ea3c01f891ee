// `azd up`: a resource group, the platform and the playbooks. The resources themselves are described
// in the JSON templates that the buttons deploy.
targetScope = 'subscription'

@minLength(1)
@maxLength(64)
@description('Name of the azd environment; names the resource group.')
param environmentName string

@description('Region; it has to offer Flex Consumption.')
param location string

@minLength(2)
@maxLength(9)
@description('Begins every name.')
param namePrefix string = 'mdti'

@description('Object ids of further identities and people that may call the app.')
param allowedCallers array = []

@description('Timers that run; none until infra/grant.sh has run.')
param enabledTimers array = []

@description('App settings that have no parameter of their own here.')
param extraSettings object = {}

@description('Which playbooks to deploy: names of folders in logicapps/.')
param chosenPlaybooks array = [
  'incident-actor-brief'
]

var tags = { 'azd-env-name': environmentName }

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

// azd publishes the code of this folder itself, so the template fetches none.
module platform 'azuredeploy.json' = {
  name: 'mdti-platform'
  scope: group
  params: {
    location: location
    namePrefix: namePrefix
    packageUri: ''
    allowedCallers: allowedCallers
    enabledTimers: enabledTimers
    extraSettings: extraSettings
    tags: tags
  }
}

module playbooks 'playbooks.bicep' = {
  name: 'mdti-playbooks'
  scope: group
  params: {
    location: location
    identityResourceId: platform.outputs.playbookIdentityResourceId
    functionBaseUrl: platform.outputs.functionBaseUrl
    functionAudience: platform.outputs.functionAudience
    chosen: chosenPlaybooks
  }
}

output AZURE_RESOURCE_GROUP string = group.name
output AZURE_FUNCTION_APP_NAME string = platform.outputs.functionAppName
output NEXT_STEP string = platform.outputs.nextStep
