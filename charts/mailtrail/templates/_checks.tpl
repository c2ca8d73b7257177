{{/*
Values that the schema takes by their form, and that would have the pods start and end again and again: each is refused with its field and the rule.
*/}}

{{/* How many bits an address has, 32 or 128; 0 where it is none. */}}
{{- define "mailtrail.addressBits" -}}
{{- $octet := "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])" }}
{{- $ipv4 := printf "(%s[.]){3}%s" $octet $octet }}
{{- $word := "[0-9a-fA-F]{1,4}" }}
{{- $words := printf "(%s:)*%s" $word $word }}
{{- /* The last two words of an IPv6 address may stand as an IPv4 address. */}}
{{- $ipv6 := regexReplaceAll (printf ":%s$" $ipv4) . ":0:0" }}
{{- $count := regexFindAll $word $ipv6 -1 | len }}
{{- if regexMatch (printf "^%s$" $ipv4) . }}32
{{- else if and (regexMatch (printf "^%s$" $words) $ipv6) (eq $count 8) }}128
{{- else if and (regexMatch (printf "^(%s)?::(%s)?$" $words $words) $ipv6) (lt $count 8) }}128
{{- else }}0
{{- end }}
{{- end }}

{{/* A network that the data plane takes: a dictionary of `field` and `network`. */}}
{{- define "mailtrail.checkNetwork" -}}
{{- $wrong := printf "%s: %s is no network" .field .network }}
{{- $parts := splitList "/" .network }}
{{- $address := first $parts }}
{{- $most := include "mailtrail.addressBits" $address | int }}
{{- if eq $most 0 }}
  {{- fail (printf "%s: it must begin with an IP address, as 10.244.0.0/16 does" $wrong) }}
{{- end }}
{{- if ne (len $parts) 2 }}
  {{- fail (printf "%s: it must have a prefix length, such as %s/%d for this address alone" $wrong $address $most) }}
{{- end }}
{{- $length := last $parts }}
{{- if or (not (regexMatch "^(0|[1-9][0-9]{0,2})$" $length)) (gt (atoi $length) $most) }}
  {{- fail (printf "%s: the prefix length, behind the /, must be 0 to %d" $wrong $most) }}
{{- end }}
{{- end }}

{{/* Where both programs listen: no pod knows its own address beforehand. */}}
{{- define "mailtrail.checkListenAddress" -}}
{{- $address := .Values.listenAddress | trimPrefix "[" | trimSuffix "]" }}
{{- if or (eq (include "mailtrail.addressBits" $address) "0") (not (regexMatch "^(0[.]0[.]0[.]0|[0:]+)$" $address)) }}
  {{- fail (printf "listenAddress: probes and Services would not reach a pod at %s: it must be 0.0.0.0, or [::] where pods have IPv6 addresses alone" .Values.listenAddress) }}
{{- end }}
{{- end }}

{{/* The DNS server that hosts are looked up with. */}}
{{- define "mailtrail.checkResolver" -}}
{{- with .Values.operator.probe.resolver }}
  {{- $wrong := printf "operator.probe.resolver: %s is no DNS server" . }}
  {{- $port := regexFind "[0-9]+$" . }}
  {{- $address := trimSuffix (printf ":%s" $port) . | trimPrefix "[" | trimSuffix "]" }}
  {{- if eq (include "mailtrail.addressBits" $address) "0" }}
    {{- fail (printf "%s: it must begin with an IP address, as 10.96.0.10:53 does" $wrong) }}
  {{- end }}
  {{- if or (lt (atoi $port) 1) (gt (atoi $port) 65535) }}
    {{- fail (printf "%s: the port must be 1 to 65535" $wrong) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* A host that a rule allows: a dictionary of `field` and `host`. */}}
{{- define "mailtrail.checkHost" -}}
{{- $wrong := printf "%s: %s is no host" .field .host }}
{{- $host := trimPrefix "*." .host }}
{{- if regexMatch "[:/]" $host }}
  {{- fail (printf "%s: it must be a name alone, without scheme, port and path, such as links.shop.example" $wrong) }}
{{- else if contains "*" $host }}
  {{- fail (printf "%s: a * may stand for all labels at the beginning alone, as in *.shop.example" $wrong) }}
{{- else if not (contains "." $host) }}
  {{- fail (printf "%s: it must have at least two labels, such as shop.example" $wrong) }}
{{- else if or (gt (len $host) 253) (not (regexMatch "^([a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?[.])+[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$" $host)) }}
  {{- fail (printf "%s: it must be DNS labels of letters, digits and hyphens, 253 bytes at most; other letters as xn--…" $wrong) }}
{{- else if regexMatch "[.][0-9]+$" $host }}
  {{- fail (printf "%s: it must not end like an IP address" $wrong) }}
{{- end }}
{{- end }}

{{/* A time of a flag (`500ms`, `20s`, `5m`) in milliseconds. */}}
{{- define "mailtrail.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 }}
{{- mul (regexFind "^[0-9]+" . | atoi) (get $units (regexFind "[a-z]+$" .)) }}
{{- end }}

{{/* A size of a flag (`8GiB`) or of a volume (`10Gi`, `10G`) in bytes. */}}
{{- define "mailtrail.bytes" -}}
{{- $units := dict "M" 1000000 "G" 1000000000 "T" 1000000000000 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 }}
{{- mul (regexFind "^[0-9]+" . | atoi) (get $units (regexFind "[A-Za-z]+$" . | trimSuffix "B")) }}
{{- end }}

{{/* Times and sizes that the data plane takes. */}}
{{- define "mailtrail.checkBounds" -}}
{{- $dataplane := .Values.dataplane }}
{{- if gt (include "mailtrail.milliseconds" $dataplane.settle | int64) 120000 }}
  {{- fail "dataplane.settle: must be 120s at most" }}
{{- end }}
{{- with $dataplane.journalMax }}
  {{- if lt (include "mailtrail.bytes" . | int64) 67108864 }}
    {{- fail "dataplane.journalMax: must be 64MiB at least" }}
  {{- end }}
{{- end }}
{{- $size := $dataplane.persistence.size }}
{{- range $field, $most := dict "dataplane.journalMax" $dataplane.journalMax "postgres.spoolMax" .Values.postgres.spoolMax }}
  {{- if and $most (gt (include "mailtrail.bytes" $most | int64) (include "mailtrail.bytes" $size | int64)) }}
    {{- fail (printf "%s: %s is more than the volume has, which is dataplane.persistence.size: %s" $field $most $size) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Labels that the chart sets, and annotations that the operator does: given here too, they would stand twice. */}}
{{- define "mailtrail.checkLabels" -}}
{{- $pod := "app[.]kubernetes[.]io/(name|component|instance|version)" }}
{{- $object := printf "%s|app[.]kubernetes[.]io/(managed-by|part-of)|helm[.]sh/chart|mailtrail[.]dev/.*|rbac[.]authorization[.]k8s[.]io/.*" $pod }}
{{- $metrics := .Values.metrics }}
{{- range list
  (list "commonLabels" .Values.commonLabels $object)
  (list "operator.podLabels" .Values.operator.podLabels $pod)
  (list "dataplane.podLabels" .Values.dataplane.podLabels $pod)
  (list "metrics.podMonitor.labels" $metrics.podMonitor.labels $object)
  (list "metrics.prometheusRule.labels" $metrics.prometheusRule.labels $object)
  (list "metrics.dashboard.labels" $metrics.dashboard.labels $object)
}}
  {{- $field := first . }}
  {{- $taken := printf "^(%s)$" (last .) }}
  {{- range $key, $value := index . 1 }}
    {{- if regexMatch $taken $key }}
      {{- fail (printf "%s: the chart sets %s itself" $field $key) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- range $key, $value := .Values.exposure.annotations }}
  {{- if hasPrefix "mailtrail.dev/" $key }}
    {{- fail (printf "exposure.annotations: %s: what begins with mailtrail.dev/ is the operator's own" $key) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Who may use which hosts. */}}
{{- define "mailtrail.checkHostPolicy" -}}
{{- range $at, $rule := .Values.hostPolicy }}
  {{- range $n, $namespace := $rule.namespaces }}
    {{- if not (regexMatch "^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?|([a-z0-9][-a-z0-9]{0,62})?[*])$" $namespace) }}
      {{- fail (printf "hostPolicy[%d].namespaces[%d]: %s is no namespace: it must be a name of lower-case letters, digits and hyphens, or the beginning of names and a *, as in team-*" $at $n $namespace) }}
    {{- end }}
  {{- end }}
  {{- range $n, $host := $rule.hosts }}
    {{- include "mailtrail.checkHost" (dict "field" (printf "hostPolicy[%d].hosts[%d]" $at $n) "host" $host) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Where the database is. Nothing of the URL is repeated, as the schema would, so it has no pattern there: it may hold a password. */}}
{{- define "mailtrail.checkPostgres" -}}
{{- $rest := regexReplaceAll "^postgres(ql)?://" .Values.postgres.url "" }}
{{- $like := "as in postgres://user@host:5432/name" }}
{{- if not (regexMatch "^postgres(ql)?://\\S+$" .Values.postgres.url) }}
  {{- fail (printf "postgres.url: must begin with postgres:// and have no blanks, %s" $like) }}
{{- end }}
{{- if or (regexMatch "^[^@]*:[^@]*@" $rest) (regexMatch "[?&]password=" $rest) }}
  {{- fail "postgres.url: must have no password, which would stand in each pod's arguments: put it into a Secret, and name that in postgres.passwordSecret.name" }}
{{- end }}
{{- $authority := regexFind "^[^/?]*" $rest }}
{{- if not (contains "@" $authority) }}
  {{- fail (printf "postgres.url: must name a user, %s" $like) }}
{{- end }}
{{- if hasSuffix "@" $authority }}
  {{- fail (printf "postgres.url: must name a host, %s" $like) }}
{{- end }}
{{- /* Of several hosts each has its own; none after the colon is the usual one. */}}
{{- $ports := regexReplaceAll "^[?&]port=" (regexFind "[?&]port=[^&]*" $rest) "" | splitList "," }}
{{- range regexReplaceAll "^[^@]*@" $authority "" | splitList "," }}
  {{- $ports = append $ports (regexReplaceAll "^([[][^]]*[]]|[^:]*):?" . "") }}
{{- end }}
{{- range $ports }}
  {{- if and . (or (not (regexMatch "^[0-9]{1,5}$" .)) (lt (atoi .) 1) (gt (atoi .) 65535)) }}
    {{- fail (printf "postgres.url: the port must be a number from 1 to 65535, %s" $like) }}
  {{- end }}
{{- end }}
{{- if not (regexMatch "^[^/?]*/[^/?]+([?]|$)" $rest) }}
  {{- fail (printf "postgres.url: must name a database, %s" $like) }}
{{- end }}
{{- $mode := regexFind "[?&]sslmode=[^&]*" $rest }}
{{- if and $mode (not (regexMatch "=(disable|verify-full)$" $mode)) }}
  {{- fail "postgres.url: sslmode must be verify-full, which it is without it, or disable" }}
{{- end }}
{{- if contains "sslrootcert=" $rest }}
  {{- fail "postgres.url: must have no sslrootcert: name the certificates in postgres.caConfigMap" }}
{{- end }}
{{- end }}

{{/*
Two installs of one class would both write the status of the same resources. An install has a ClusterRole with its class; that they can be listed is
sure at the install alone, which needs the rights on them.
*/}}
{{- define "mailtrail.checkClass" -}}
{{- if .Release.IsInstall }}
  {{- range (lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" "").items }}
    {{- $labels := .metadata.labels | default dict }}
    {{- $of := get (.metadata.annotations | default dict) "meta.helm.sh/release-namespace" }}
    {{- if and (eq (get $labels "mailtrail.dev/class") $.Values.class) $of (ne $of $.Release.Namespace) }}
      {{- fail (printf "class: the install in the namespace %s has the class %s: give this one another, or both would write the same resources" $of $.Values.class) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}
