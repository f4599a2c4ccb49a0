{{- /* A value as TOML: JSON's texts and lists are TOML's; numbers without a fraction are integers. */ -}}
{{- define "leafgate.toml" -}}
{{- if kindIs "map" . -}}
{ {{- range $index, $key := keys . | sortAlpha }}{{ if $index }},{{ end }} {{ include "leafgate.tomlKey" $key }} = {{ include "leafgate.toml" (get $ $key) }}{{ end }} }
{{- else if kindIs "slice" . -}}
[{{ range $index, $item := . }}{{ if $index }}, {{ end }}{{ include "leafgate.toml" $item }}{{ end }}]
{{- else if kindIs "string" . -}}
{{ . | toJson }}
{{- else if kindIs "float64" . -}}
{{ if eq (floor .) . }}{{ printf "%.0f" . }}{{ else }}{{ printf "%v" . }}{{ end }}
{{- else -}}
{{ . }}
{{- end -}}
{{- end -}}

{{- define "leafgate.tomlKey" -}}
{{ if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ . | toJson }}{{ end }}
{{- end -}}

{{- /* Keys of one table, a line each; a list of tables takes a line for each of them. */ -}}
{{- define "leafgate.tomlLines" -}}
{{- range $key := keys . | sortAlpha }}
{{- $value := get $ $key }}
{{- if and (kindIs "slice" $value) $value (kindIs "map" (first $value)) }}
{{ include "leafgate.tomlKey" $key }} = [
{{- range $item := $value }}
  {{ include "leafgate.toml" $item }},
{{- end }}
]
{{- else if not (kindIs "invalid" $value) }}
{{ include "leafgate.tomlKey" $key }} = {{ include "leafgate.toml" $value }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "leafgate.configuration" -}}
{{- $config := deepCopy .Values.config -}}
{{- range $key := list "listeners" "monitoring" "data-directory" "control-socket" -}}
{{- if hasKey $config $key -}}
{{- fail (printf "config.%s: made from the other values; see values.yaml" $key) -}}
{{- end -}}
{{- end -}}
{{- $listeners := list -}}
{{- range $name := list "nats" "mqtt" "websocket" "leafnode" -}}
{{- $door := get $.Values.listeners $name -}}
{{- if $door.enabled -}}
{{- $listener := dict "protocol" $name "address" (printf "0.0.0.0:%d" (int $door.port)) -}}
{{- if not $.Values.auth.enabled -}}{{- $_ := set $listener "allow-anonymous" true -}}{{- end -}}
{{- if $door.tls -}}
{{- if not $.Values.tls.secretName -}}{{- fail (printf "listeners.%s.tls: tls.secretName has to name the certificate" $name) -}}{{- end -}}
{{- $tls := dict "certificate" "/etc/leafgate/tls/tls.crt" "key" "/etc/leafgate/tls/tls.key" -}}
{{- if ne $.Values.tls.verify "none" -}}
{{- $_ := set $tls "verify" $.Values.tls.verify -}}{{- $_ := set $tls "client-ca" "/etc/leafgate/tls/ca.crt" -}}
{{- end -}}
{{- $_ := set $listener "tls" $tls -}}
{{- end -}}
{{- $listeners = append $listeners (mergeOverwrite $listener (deepCopy $door.options)) -}}
{{- end -}}
{{- end -}}
{{- if not $listeners -}}{{- fail "listeners: at least one has to be enabled" -}}{{- end -}}
{{- $_ := set $config "listeners" $listeners -}}
{{- $monitoring := dict "address" "" -}}
{{- if .Values.monitoring.enabled -}}
{{- $monitoring = dict "address" (printf "0.0.0.0:%d" (int .Values.monitoring.port)) "allow-anonymous" true -}}
{{- end -}}
{{- $_ := set $config "monitoring" $monitoring -}}
{{- $_ := set $config "control-socket" "/run/leafgate/control.sock" -}}
{{- if .Values.persistence.enabled -}}{{- $_ := set $config "data-directory" "/var/lib/leafgate" -}}{{- end -}}
{{- if and .Values.auth.enabled .Values.auth.user -}}
{{- $password := dict "file" (printf "/etc/leafgate/user/%s" .Values.auth.passwordKey) -}}
{{- $_ := set $config "users" (prepend (default list $config.users) (dict "name" .Values.auth.user "password" $password)) -}}
{{- end -}}
{{- if .Values.drain.enabled -}}
{{- $timeouts := default dict $config.timeouts -}}
{{- $_ := set $timeouts "lame-duck-seconds" (include "leafgate.lameDuckSeconds" . | float64) -}}
{{- if not (hasKey $timeouts "lame-duck-grace-seconds") -}}
{{- $_ := set $timeouts "lame-duck-grace-seconds" (min 10 (include "leafgate.lameDuckSeconds" . | int) | float64) -}}
{{- end -}}
{{- $_ := set $config "timeouts" $timeouts -}}
{{- end -}}
{{- include "leafgate.tomlLines" $config | trim -}}
{{- end -}}
