{{/*
Names do not depend on the release: an install is its namespace's (the keyring, the lease and the configuration have fixed names there), and one
that is made again under another release name finds its volumes. What holds for the whole cluster begins with the namespace.
*/}}
{{- define "mailtrail.clusterName" -}}
{{ .Release.Namespace }}-mailtrail
{{- end }}

{{/* Labels of every object: a dictionary of `root` and `component`. */}}
{{- define "mailtrail.labels" -}}
{{ include "mailtrail.selector" . }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: mailtrail
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What the pods of a component are found by; the operator finds replicas by the same. */}}
{{- define "mailtrail.selector" -}}
app.kubernetes.io/name: mailtrail
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels of a pod: not the chart's version, so that a new chart restarts nothing by itself. */}}
{{- define "mailtrail.podLabels" -}}
{{ include "mailtrail.selector" . }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* An image: a dictionary of `root` and `image`. */}}
{{- define "mailtrail.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* What Pod Security "restricted" asks of a pod, and a user that no system has. */}}
{{- define "mailtrail.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "mailtrail.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Where a pod runs: the values of one program. */}}
{{- define "mailtrail.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Spread over nodes, or as the values have it: a dictionary of `constraints` and `component`. */}}
{{- define "mailtrail.spread" -}}
topologySpreadConstraints:
{{- $selector := include "mailtrail.selector" . | fromYaml }}
{{- $nodes := dict "maxSkew" 1 "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" "ScheduleAnyway" }}
{{- range .constraints | default (list $nodes) }}
- {{ toYaml (mergeOverwrite (dict "labelSelector" (dict "matchLabels" $selector)) (deepCopy .)) | nindent 2 | trim }}
{{- end }}
{{- end }}

{{/* How many replicas of the data plane there are at most, and whether there are ever two. */}}
{{- define "mailtrail.mostReplicas" -}}
{{ ternary .Values.dataplane.autoscaling.maxReplicas .Values.dataplane.replicas .Values.dataplane.autoscaling.enabled }}
{{- end }}

{{/* How hosts get out, as the operator reads it. */}}
{{- define "mailtrail.exposure" -}}
{{- $exposure := .Values.exposure }}
{{- $service := dict "name" "mailtrail-public" "port" .Values.service.public.port }}
{{- $file := dict "mode" $exposure.mode "service" $service }}
{{- if ne $exposure.mode "None" }}
  {{- $_ := set $file "annotations" $exposure.annotations }}
  {{- $_ := set $file "externalDNS" $exposure.externalDNS }}
{{- end }}
{{- if eq $exposure.mode "Ingress" }}
  {{- $_ := set $file "ingress" $exposure.ingress }}
{{- else if eq $exposure.mode "HTTPRoute" }}
  {{- $_ := set $file "httpRoute" $exposure.httpRoute }}
{{- end }}
{{- toYaml $file }}
{{- end }}

{{/* The host that `helm test` tracks a mail of, or nothing where it is not there. */}}
{{- define "mailtrail.testHost" -}}
{{- if or (not .Values.watchNamespaces) (has .Release.Namespace .Values.watchNamespaces) -}}
test.{{ .Release.Namespace }}.mailtrail.invalid
{{- end }}
{{- end }}

{{/*
Who may use which hosts, as the operator reads it. With it `helm test` must have its host: a name that nobody can own, for the install's namespace
alone, which this rule gives one domain, and where another rule names it no more than that does.
*/}}
{{- define "mailtrail.hostPolicy" -}}
{{- $rules := .Values.hostPolicy }}
{{- with include "mailtrail.testHost" . }}
  {{- $rules = append $rules (dict "namespaces" (list $.Release.Namespace) "hosts" (list .) "maxDomains" 1) }}
{{- end }}
{{- toYaml $rules }}
{{- end }}

{{/*
A namespace and a host that the policy allows, as `namespace host`: of the first rule that names a whole namespace that is looked at; without a policy
any. Nothing where a person has to choose.
*/}}
{{- define "mailtrail.example" -}}
{{- $watched := .Values.watchNamespaces }}
{{- if .Values.hostPolicy }}
  {{- $found := "" }}
  {{- range $rule := .Values.hostPolicy }}
    {{- range $rule.namespaces }}
      {{- if and (not $found) (not (hasSuffix "*" .)) (or (not $watched) (has . $watched)) }}
        {{- $found = printf "%s %s" . (first $rule.hosts | replace "*." "links.") }}
      {{- end }}
    {{- end }}
  {{- end }}
  {{- $found }}
{{- else }}
  {{- first ($watched | default (list "default")) }} links.example.com
{{- end }}
{{- end }}

{{/* What cannot be installed, in words. */}}
{{- define "mailtrail.check" -}}
{{- include "mailtrail.checkClass" . }}
{{- include "mailtrail.checkHostPolicy" . }}
{{- include "mailtrail.checkListenAddress" . }}
{{- include "mailtrail.checkResolver" . }}
{{- include "mailtrail.checkBounds" . }}
{{- include "mailtrail.checkLabels" . }}
{{- range $field, $networks := dict "trustedProxies" .Values.dataplane.trustedProxies "sinks.allow" .Values.dataplane.sinks.allow }}
  {{- range $at, $network := $networks }}
    {{- include "mailtrail.checkNetwork" (dict "field" (printf "dataplane.%s[%d]" $field $at) "network" $network) }}
  {{- end }}
{{- end }}
{{- $exposure := .Values.exposure }}
{{- if ne $exposure.mode "None" }}
  {{- if not .Values.hostPolicy }}
    {{- fail (printf "exposure.mode: %s needs hostPolicy, which says what namespaces may use which hosts: otherwise whoever may create a TrackingDomain would have any host exposed, with a DNS record and a certificate" $exposure.mode) }}
  {{- end }}
  {{- if and (eq $exposure.mode "HTTPRoute") (not $exposure.httpRoute.parentRefs) }}
    {{- fail "exposure.httpRoute.parentRefs: mode HTTPRoute needs at least one, a Gateway or ListenerSet" }}
  {{- end }}
  {{- if $exposure.cleanUp }}
    {{- fail "exposure.cleanUp: is for mode None; what another mode has made is removed in any case" }}
  {{- end }}
{{- end }}
{{- $public := .Values.service.public }}
{{- if and .Values.dataplane.tls.secrets (eq (int $public.port) (int $public.tlsPort)) }}
  {{- fail "service.public.tlsPort: is the same as service.public.port" }}
{{- end }}
{{- if and (gt (int $public.nodePort) 0) (eq (int $public.nodePort) (int $public.tlsNodePort)) }}
  {{- fail "service.public.tlsNodePort: is the same as service.public.nodePort" }}
{{- end }}
{{- $scaling := .Values.dataplane.autoscaling }}
{{- if .Values.postgres.url }}
  {{- include "mailtrail.checkPostgres" . }}
  {{- if .Values.dataplane.journalMax }}
    {{- fail "dataplane.journalMax: is for a store of one's own; with postgres.url it is postgres.spoolMax" }}
  {{- end }}
  {{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) }}
    {{- fail "dataplane.autoscaling: minReplicas is more than maxReplicas" }}
  {{- end }}
{{- else }}
  {{- if gt (int .Values.dataplane.replicas) 1 }}
    {{- fail "dataplane.replicas: more than 1 need postgres.url, a database that they share; without it each would keep, and answer from, events of its own" }}
  {{- end }}
  {{- if $scaling.enabled }}
    {{- fail "dataplane.autoscaling.enabled: needs postgres.url, a database that the replicas share" }}
  {{- end }}
  {{- range $name, $value := dict "passwordSecret.name" .Values.postgres.passwordSecret.name "caConfigMap" .Values.postgres.caConfigMap "spoolMax" .Values.postgres.spoolMax }}
    {{- if $value }}
      {{- fail (printf "postgres.%s: is for postgres.url alone" $name) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}
