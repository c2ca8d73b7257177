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

{{/* What cannot be installed, in words. */}}
{{- define "mailtrail.check" -}}
{{- if gt (int .Values.dataplane.replicas) 1 }}
{{- fail "dataplane.replicas: more than 1 would keep, and answer from, events of their own each; several replicas need a database that they share" }}
{{- end }}
{{- end }}
