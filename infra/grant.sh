#!/usr/bin/env bash
# Give MDTI Actor Lookup what a template cannot: permissions of Microsoft Graph and Defender, roles
# on the workspaces of Sentinel, and at last the switch that turns it on. Made for Azure Cloud Shell;
# needs the Azure CLI, signed in. What is there already is left alone, so it can run at any time.
set -Eeuo pipefail
trap 'exit 1' ERR

usage() {
  cat <<'USAGE'
infra/grant.sh prepare --resource-group GROUP --location REGION [options]
    create the two identities and grant, before the app is deployed: a token that is asked for
    too early is kept without its permissions for up to a day
infra/grant.sh --resource-group GROUP [options]
    grant what is missing

what to grant
  --workspace ID            resource id of a workspace of Sentinel; may be repeated
  --feed SOURCE-to-DEST     a feed that will run, such as opencti-to-defender; may be repeated
  --hunting                 also ThreatHunting.Read.All, for exposed machines in the brief
what it is called
  --prefix NAME             name prefix of the deployment (mdti)
  --playbooks-group GROUP   resource group of the playbooks (that of the app)
  --app-identity ID         resource id, when it is not the one of the deployment
  --playbook-identity ID    the same for the playbooks
how
  --check                   change nothing: print a table, exit 1 when something is missing
  --what-if                 change nothing: say what would be done
  --print                   change nothing: print the commands for an administrator
  --enable                  when nothing is missing: turn playbooks and the daily timer on
  --timer NAME              turn this timer on as well; may be repeated
  --attach                  when nothing is missing: have Sentinel start the incident playbook

exit code: 0 all is granted, 1 something is missing or failed, 2 wrong usage
USAGE
}

readonly GRAPH_APP=00000003-0000-0000-c000-000000000000
readonly DEFENDER_APP=fc780465-2017-40d4-a0c5-307022471b92
readonly SECURITY_INSIGHTS_APP=98785600-1bb7-4fb9-b9fa-19afe2c8a360
readonly LOGIC_API=2019-05-01
readonly RULES_API=2025-06-01
readonly INCIDENT_PLAYBOOK=MDTI-Incident-Actor-Brief
readonly WAIT_SECONDS="${GRANT_WAIT_SECONDS:-10}"
readonly TRIES=6

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
command=grant mode=run group='' location='' prefix=mdti playbooks_group=''
app_identity='' playbook_identity='' hunting='' enable='' attach=''
workspaces=() feeds=() timers=(daily)
missing=0 failed=0 fresh=''

say() { printf '%s\n' "$*"; }
complain() { printf '%s\n' "$*" >&2; }

wrong_usage() {
  complain "grant.sh: $1"
  complain "Say infra/grant.sh --help for what there is."
  exit 2
}

read_arguments() {
  if [[ "${1:-}" == prepare ]]; then
    command=prepare
    shift
  fi
  while (($#)); do
    case "$1" in
      --help | -h) usage && exit 0 ;;
      --check | --what-if | --print)
        [[ "$mode" == run ]] || wrong_usage "--check, --what-if and --print exclude each other"
        mode="${1#--}"
        shift
        continue
        ;;
      --hunting) hunting=1 && shift && continue ;;
      --enable) enable=1 && shift && continue ;;
      --attach) attach=1 && shift && continue ;;
    esac
    (($# > 1)) || wrong_usage "$1 is not known, or needs a value"
    case "$1" in
      --resource-group) group="$2" ;;
      --location) location="$2" ;;
      --prefix) prefix="$(tr '[:upper:]' '[:lower:]' <<<"$2")" ;;
      --playbooks-group) playbooks_group="$2" ;;
      --app-identity) app_identity="$2" ;;
      --playbook-identity) playbook_identity="$2" ;;
      --workspace) workspaces+=("$2") ;;
      --feed) feeds+=("$2") ;;
      --timer) timers+=("$2") ;;
      *) wrong_usage "$1 is not known" ;;
    esac
    shift 2
  done
  [[ -n "$group" ]] || wrong_usage "--resource-group is needed"
  if [[ "$command" == prepare && -z "$location" ]]; then
    wrong_usage "prepare needs --location"
  fi
  playbooks_group="${playbooks_group:-$group}"
  local workspace feed
  local form='^/subscriptions/[^/]+/resource[Gg]roups/[^/]+/providers/[Mm]icrosoft\.[Oo]perational[Ii]nsights/workspaces/[^/]+$'
  for workspace in ${workspaces[@]+"${workspaces[@]}"}; do
    [[ "$workspace" =~ $form ]] || wrong_usage "--workspace is no resource id of a workspace: $workspace"
  done
  for feed in ${feeds[@]+"${feeds[@]}"}; do
    [[ "$feed" =~ ^[a-z]+-to-(anomali|sentinel|defender)$ ]] || wrong_usage "--feed is no feed: $feed"
    if [[ "$feed" =~ (^mdti-|-to-sentinel$) && ${#workspaces[@]} -eq 0 ]]; then
      wrong_usage "$feed needs --workspace"
    fi
  done
  if [[ -n "$attach" && ${#workspaces[@]} -eq 0 ]]; then
    wrong_usage "--attach needs --workspace"
  fi
}

# Run a command that changes something, or only tell of it. $1 says what it does.
change() {
  local what="$1" try answer
  shift
  case "$mode" in
    print) printf '# %s\n%s\n' "$what" "$(printf '%q ' "$@")" ;;
    what-if) say "would: $what" ;;
    check) ;;
    run)
      for ((try = 1; ; try++)); do
        if answer="$("$@" 2>&1 >/dev/null)"; then
          say "done: $what"
          return 0
        fi
        # A new identity is not known everywhere at once.
        [[ -n "$fresh" && $try -lt $TRIES ]] || break
        sleep "$WAIT_SECONDS"
      done
      failed=$((failed + 1))
      complain "FAILED: $what"
      complain "  ${answer//$'\n'/$'\n'  }"
      return 0
      ;;
  esac
}

# A line of the table: state, who, what, where or why.
row() {
  [[ "$mode" == check ]] || return 0
  printf '%-8s %-10s %-42s %s\n' "$1" "$2" "$3" "$4"
}

# What is missing and cannot be granted: who, what, why.
give_up() {
  missing=$((missing + 1))
  row missing "$@"
  [[ "$mode" != run ]] || failed=$((failed + 1))
  [[ "$mode" == check ]] || complain "No $2 for $1: $3."
}

# Return the object id of an identity.
principal_of() {
  if [[ -n "$2" ]]; then
    az identity show --ids "$2" --query principalId --output tsv 2>/dev/null
  else
    az identity show --resource-group "$group" --name "$prefix-$1" --query principalId --output tsv 2>/dev/null
  fi
}

# Create what the deployment would create and grants have to be given to: group and identities.
prepare() {
  local name
  if [[ "$(az group exists --name "$group" --output tsv)" != [Tt]rue ]]; then
    change "create the resource group $group" az group create --name "$group" --location "$location"
  fi
  for name in app playbooks; do
    [[ "$name" == app && -n "$app_identity" ]] && continue
    [[ "$name" == playbooks && -n "$playbook_identity" ]] && continue
    principal_of "$name" '' >/dev/null && continue
    change "create the identity $prefix-$name" \
      az identity create --resource-group "$group" --name "$prefix-$name" --location "$location"
  done
}

# One permission of an API, by name, for an identity.
app_role() {
  local who="$1" principal="$2" app="$3" role="$4" api_name="$5" api role_id held
  if ! api="$(az ad sp show --id "$app" --query id --output tsv 2>/dev/null)" || [[ -z "$api" ]]; then
    give_up "$who" "$role" "$api_name is not in this tenant: is there a licence?"
    return 0
  fi
  role_id="$(az ad sp show --id "$app" \
    --query "appRoles[?value=='$role' && contains(allowedMemberTypes, 'Application')].id | [0]" --output tsv)"
  if [[ -z "$role_id" ]]; then
    give_up "$who" "$role" "$api_name does not offer it in this cloud"
    return 0
  fi
  held="$(az rest --method get --url "${graph}v1.0/servicePrincipals/$principal/appRoleAssignments" \
    --query "value[?appRoleId=='$role_id' && resourceId=='$api'].id" --output tsv 2>/dev/null || true)"
  if [[ -n "$held" ]]; then
    row granted "$who" "$role" "$api_name"
    return 0
  fi
  missing=$((missing + 1))
  row missing "$who" "$role" "$api_name"
  change "grant $role of $api_name to the $who's identity" \
    az rest --method post --url "${graph}v1.0/servicePrincipals/$principal/appRoleAssignments" \
    --headers Content-Type=application/json \
    --body "{\"principalId\": \"$principal\", \"resourceId\": \"$api\", \"appRoleId\": \"$role_id\"}"
}

# One role of Azure, by name, for a principal on a scope.
azure_role() {
  local who="$1" principal="$2" role="$3" scope="$4" held
  held="$(az role assignment list --assignee "$principal" --role "$role" --scope "$scope" \
    --include-inherited --query '[].id' --output tsv)"
  if [[ -n "$held" ]]; then
    row granted "$who" "$role" "$scope"
    return 0
  fi
  missing=$((missing + 1))
  row missing "$who" "$role" "$scope"
  change "give $role on $scope to $who" \
    az role assignment create --assignee-object-id "$principal" \
    --assignee-principal-type ServicePrincipal --role "$role" --scope "$scope"
}

group_of() { printf '%s' "${1%/providers/*}"; }

has_feed() {
  local feed
  for feed in ${feeds[@]+"${feeds[@]}"}; do
    # shellcheck disable=SC2053  # the right side is a pattern on purpose
    [[ "$feed" == $1 ]] && return 0
  done
  return 1
}

# Everything that is to be granted. Counts what is missing.
grant_all() {
  missing=0
  local workspace scope sentinel automation='Microsoft Sentinel Automation Contributor'
  if [[ "$cloud" == AzureCloud ]]; then
    app_role app "$app" "$GRAPH_APP" ThreatIntelligence.Read.All 'Microsoft Graph'
  else
    complain "Microsoft Graph has no threat intelligence in $cloud: feeds work there, the look-up does not."
  fi
  if [[ -n "$hunting" ]]; then
    app_role app "$app" "$GRAPH_APP" ThreatHunting.Read.All 'Microsoft Graph'
  fi
  if has_feed '*-to-defender'; then
    app_role app "$app" "$DEFENDER_APP" Ti.ReadWrite WindowsDefenderATP
  fi
  for workspace in ${workspaces[@]+"${workspaces[@]}"}; do
    scope="$(group_of "$workspace")"
    azure_role playbooks "$playbooks" 'Microsoft Sentinel Responder' "$scope"
    if has_feed 'mdti-to-*'; then
      azure_role app "$app" 'Log Analytics Reader' "$scope"
    fi
    if has_feed '*-to-sentinel'; then
      azure_role app "$app" 'Microsoft Sentinel Contributor' "$scope"
    fi
  done
  if ((${#workspaces[@]})); then
    scope="/subscriptions/$subscription/resourceGroups/$playbooks_group"
    sentinel="$(az ad sp show --id "$SECURITY_INSIGHTS_APP" --query id --output tsv 2>/dev/null || true)"
    if [[ -n "$sentinel" ]]; then
      azure_role Sentinel "$sentinel" "$automation" "$scope"
    else
      give_up Sentinel "$automation" 'Azure Security Insights is not in this tenant: is Sentinel on?'
    fi
  fi
}

enable_all() {
  local site workflow timer names
  local -a settings=()
  site="$(az functionapp list --resource-group "$group" \
    --query "[?tags.\"mdti-function-audience\"].name | [0]" --output tsv)"
  if [[ -z "$site" ]]; then
    complain "There is no function app of azuredeploy.json in $group."
    failed=$((failed + 1))
    return 0
  fi
  for timer in "${timers[@]}"; do
    settings+=("AzureWebJobs.$timer.Disabled=false")
  done
  change "turn on the timers ${timers[*]} of $site" \
    az functionapp config appsettings set --resource-group "$group" --name "$site" \
    --settings "${settings[@]}"
  while read -r workflow; do
    [[ -n "$workflow" ]] || continue
    change "turn on the playbook ${workflow##*/}" \
      az rest --method post --url "$workflow/enable?api-version=$LOGIC_API"
  done < <(az rest --method get \
    --url "/subscriptions/$subscription/resourceGroups/$playbooks_group/providers/Microsoft.Logic/workflows?api-version=$LOGIC_API" \
    --query "value[?properties.state!='Enabled' && contains(to_string(identity), '/$playbook_name\"')].id" --output tsv)
  names="$(printf '"%s",' "${timers[@]}")"
  say "Deploy azuredeploy.json again only with enabledTimers [${names%,}], or the timers stop."
}

attach_all() {
  local playbook workspace held rules
  if [[ "$mode" == print ]]; then
    say "# Then, in a clone of this repository, run infra/grant.sh with --attach."
    return 0
  fi
  playbook="$(az resource list --resource-group "$playbooks_group" --resource-type Microsoft.Logic/workflows \
    --query "[?tags.\"hidden-SentinelTemplateName\"=='$INCIDENT_PLAYBOOK'].id | [0]" --output tsv)"
  if [[ -z "$playbook" ]]; then
    complain "There is no incident playbook in $playbooks_group: deploy playbooks.json first."
    failed=$((failed + 1))
    return 0
  fi
  rules="$(mktemp)"
  # The rules are those of the playbook's own template, so that a rule has one id whoever makes it.
  python3 -c '
import json, sys
template = json.load(open(sys.argv[1], encoding="utf-8"))
(rules,) = [one for one in template["resources"] if one["type"] == "Microsoft.Resources/deployments"]
json.dump(rules["properties"]["template"], sys.stdout)
' "$here/../logicapps/incident-actor-brief/azuredeploy.json" >"$rules"
  for workspace in "${workspaces[@]}"; do
    held="$(az rest --method get \
      --url "$workspace/providers/Microsoft.SecurityInsights/automationRules?api-version=$RULES_API" \
      --query "value[?contains(to_string(properties.actions), '$playbook')].id" --output tsv)"
    [[ -z "$held" ]] || continue
    change "have ${workspace##*/} start ${playbook##*/}" \
      az deployment group create --name "mdti-rules-${workspace##*/}" \
      --subscription "$(cut -d/ -f3 <<<"$workspace")" --resource-group "$(cut -d/ -f5 <<<"$workspace")" \
      --template-file "$rules" \
      --parameters "workspaceName=${workspace##*/}" "playbookResourceId=$playbook"
  done
  rm -f "$rules"
}

main() {
  read_arguments "$@"
  subscription="$(az account show --query id --output tsv)" || {
    complain "Sign in first: az login"
    exit 1
  }
  cloud="$(az cloud show --query name --output tsv)"
  graph="$(az cloud show --query endpoints.microsoftGraphResourceId --output tsv)"
  if [[ "$command" == prepare ]]; then
    fresh=1
    prepare
  fi
  playbook_name="${playbook_identity##*/}"
  playbook_name="${playbook_name:-$prefix-playbooks}"
  if ! app="$(principal_of app "$app_identity")" ||
    ! playbooks="$(principal_of playbooks "$playbook_identity")"; then
    if [[ "$command" == prepare && "$mode" == @(print|what-if) ]]; then
      say "# What is granted to the identities follows when they exist: run this again then."
      exit 0
    fi
    complain "The identities are not there: deploy azuredeploy.json, or run infra/grant.sh prepare."
    complain "If they have other names, say --prefix, or --app-identity and --playbook-identity."
    exit 1
  fi

  row STATE WHO WHAT WHERE
  grant_all
  case "$mode" in
    check)
      if ((missing)); then
        complain "$missing missing."
        exit 1
      fi
      say "Nothing is missing."
      exit 0
      ;;
    run)
      if ((failed)); then
        complain "Permissions need the role Privileged Role Administrator; roles need Owner, or Role Based"
        complain "Access Control Administrator, on the scope. --print gives the commands for somebody else."
        exit 1
      fi
      ;;
    *)
      if ((missing)); then
        [[ -z "$enable$attach" ]] || say "# Nothing is turned on before all of this is granted."
        exit 0
      fi
      ;;
  esac
  [[ -z "$enable" ]] || enable_all
  [[ -z "$attach" ]] || attach_all
  ((failed == 0)) || exit 1
  say "All is granted."
}

main "$@"
