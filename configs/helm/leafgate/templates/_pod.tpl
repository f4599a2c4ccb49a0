{{- define "leafgate.pod" -}}
metadata:
  labels:
    {{- include "leafgate.selectorLabels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or .Values.podAnnotations .Values.restartOnChange }}
  annotations:
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- if .Values.restartOnChange }}
    checksum/configuration: {{ include "leafgate.configuration" . | sha256sum }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "leafgate.serviceAccount" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "leafgate.terminationSeconds" . }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: {{ int .Values.userId }}
    runAsGroup: {{ int .Values.userId }}
    fsGroup: {{ int .Values.userId }}
    fsGroupChangePolicy: OnRootMismatch
    {{- if .Values.devices.enabled }}
    supplementalGroups: [{{ int .Values.devices.group }}]
    {{- end }}
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: leafgate
      image: {{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [leafgate, run, -c, /etc/leafgate/config/leafgate.toml]
      {{- with .Values.extraEnv }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        {{- range $name, $door := .Values.listeners }}
        {{- if $door.enabled }}
        - {name: {{ $name }}, containerPort: {{ int $door.port }}}
        {{- end }}
        {{- end }}
        {{- if .Values.monitoring.enabled }}
        - {name: monitoring, containerPort: {{ int .Values.monitoring.port }}}
        {{- end }}
      {{- if .Values.monitoring.enabled }}
      {{- range $probe := list "livenessProbe" "readinessProbe" "startupProbe" }}
      {{- with get $.Values $probe }}
      {{ $probe }}:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- end }}
      {{- if .Values.drain.enabled }}
      lifecycle:
        preStop:
          exec: {command: [leafgate, drain, -c, /etc/leafgate/config/leafgate.toml]}
      {{- end }}
      {{- $resources := deepCopy .Values.resources }}
      {{- if and .Values.devices.enabled .Values.devices.resources }}
      {{- $limits := mergeOverwrite (default dict $resources.limits) (deepCopy .Values.devices.resources) }}
      {{- $_ := set $resources "limits" $limits }}
      {{- end }}
      {{- with $resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        readOnlyRootFilesystem: true
        {{- if and .Values.devices.enabled .Values.devices.privileged }}
        privileged: true
        {{- else }}
        allowPrivilegeEscalation: false
        capabilities: {drop: [ALL]}
        {{- end }}
      volumeMounts:
        - {name: config, mountPath: /etc/leafgate/config, readOnly: true}
        - {name: run, mountPath: /run/leafgate}
        - {name: tmp, mountPath: /tmp}
        {{- if .Values.persistence.enabled }}
        - {name: data, mountPath: /var/lib/leafgate}
        {{- end }}
        {{- if and .Values.auth.enabled .Values.auth.user }}
        - {name: user, mountPath: /etc/leafgate/user, readOnly: true}
        {{- end }}
        {{- if .Values.tls.secretName }}
        - {name: tls, mountPath: /etc/leafgate/tls, readOnly: true}
        {{- end }}
        {{- range .Values.secrets }}
        - {name: {{ printf "secret-%s" .name }}, mountPath: {{ printf "/etc/leafgate/secrets/%s" .name }}, readOnly: true}
        {{- end }}
        {{- if .Values.devices.enabled }}
        {{- range $index, $path := .Values.devices.paths }}
        - {name: {{ printf "device-%d" $index }}, mountPath: {{ $path }}}
        {{- end }}
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ include "leafgate.fullname" . }}}
    - name: run
      emptyDir: {medium: Memory, sizeLimit: 1Mi}
    - name: tmp
      emptyDir: {}
    {{- if and .Values.persistence.enabled (eq .Values.kind "Deployment") }}
    - name: data
      persistentVolumeClaim:
        claimName: {{ default (include "leafgate.fullname" .) .Values.persistence.existingClaim }}
    {{- end }}
    {{- /* The gateway takes no secret that everybody could read. */}}
    {{- if and .Values.auth.enabled .Values.auth.user }}
    - name: user
      secret: {secretName: {{ include "leafgate.userSecret" . }}, defaultMode: 0440}
    {{- end }}
    {{- if .Values.tls.secretName }}
    - name: tls
      secret: {secretName: {{ .Values.tls.secretName }}, defaultMode: 0440}
    {{- end }}
    {{- range .Values.secrets }}
    - name: {{ printf "secret-%s" .name }}
      secret: {secretName: {{ .secretName }}, defaultMode: 0440}
    {{- end }}
    {{- if .Values.devices.enabled }}
    {{- range $index, $path := .Values.devices.paths }}
    - name: {{ printf "device-%d" $index }}
      hostPath: {path: {{ $path }}, type: CharDevice}
    {{- end }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- $selector := deepCopy .Values.nodeSelector }}
  {{- if .Values.devices.enabled }}
  {{- $_ := set $selector .Values.devices.nodeLabel.key .Values.devices.nodeLabel.value }}
  {{- end }}
  {{- with $selector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
