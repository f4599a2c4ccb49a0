{{- define "leafgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "leafgate.fullname" -}}
{{- $name := include "leafgate.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "leafgate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "leafgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "leafgate.labels" -}}
{{ include "leafgate.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "leafgate.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "leafgate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* The Secret with the first user's password. */ -}}
{{- define "leafgate.userSecret" -}}
{{- default (printf "%s-user" (include "leafgate.fullname" .)) .Values.auth.existingSecret -}}
{{- end -}}

{{- /* How long a pod may take to end. */ -}}
{{- define "leafgate.terminationSeconds" -}}
{{- if .Values.drain.enabled -}}
{{- add (include "leafgate.lameDuckSeconds" . | int) (int .Values.drain.graceSeconds) -}}
{{- else -}}
{{- add 30 (int .Values.drain.graceSeconds) -}}
{{- end -}}
{{- end -}}

{{- define "leafgate.lameDuckSeconds" -}}
{{- $timeouts := default dict .Values.config.timeouts -}}
{{- get $timeouts "lame-duck-seconds" | default .Values.drain.seconds | ceil | int -}}
{{- end -}}
