{{/* The labels that choose the pods of one part: dict "root" $ "part" "relay". */}}
{{- define "txbox.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "txbox.labels" -}}
{{ include "txbox.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "txbox.name" -}}
{{ printf "%s-%s" .root.Release.Name .part | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* A setting's environment variable: relay.retention is TXBOX_RELAY__RETENTION. */}}
{{- define "txbox.variable" -}}
TXBOX_{{ . | upper | replace "." "__" }}
{{- end }}

{{/* A setting's value: Helm has numbers as floats, and would write a million as 1e+06. */}}
{{- define "txbox.value" -}}
{{ (kindIs "float64" . | ternary (int64 .) .) | quote }}
{{- end }}

{{/*
A pod's spec: dict "root" $ "part" "relay" "args" (list ...) and, where a part has its own, "image", "secret", "settings",
"resources", "nodeSelector", "tolerations"; "job" for what runs once and serves nothing.
*/}}
{{- define "txbox.pod" -}}
{{- $values := .root.Values -}}
{{- $secret := .secret | default $values.database.secret -}}
automountServiceAccountToken: false
{{- with $values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- if .job }}
restartPolicy: Never
{{- else }}
# it waits for Kafka's acks, or ends the batch under way
terminationGracePeriodSeconds: 45
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "txbox.selector" . | nindent 8 }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: {{ .part }}
    image: {{ .image | default (printf "%s:%s" $values.image.repository ($values.image.tag | default .root.Chart.AppVersion)) | quote }}
    imagePullPolicy: {{ $values.image.pullPolicy }}
    command: [txbox]
    args: {{ toJson .args }}
    env:
      - {name: TXBOX_DATABASE__URL_FILE, value: {{ printf "/run/txbox/database/%s" $secret.key | quote }}}
      - {name: TXBOX_KAFKA__BOOTSTRAP_SERVERS, value: {{ required "kafka.bootstrapServers: which Kafka?" $values.kafka.bootstrapServers | quote }}}
      - {name: TXBOX_LOG__FORMAT, value: json}
      - {name: TXBOX_HTTP__HOST, value: "0.0.0.0"}
      - {name: TXBOX_HTTP__PORT, value: "9464"}
      {{- range $key, $value := merge (dict) (.settings | default dict) $values.settings }}
      - {name: {{ include "txbox.variable" $key }}, value: {{ include "txbox.value" $value }}}
      {{- end }}
      {{- range $key, $value := $values.kafka.client }}
      - {name: TXBOX_KAFKA__CLIENT__{{ $key | upper | replace "." "_" }}, value: {{ include "txbox.value" $value }}}
      {{- end }}
      {{- range $key, $from := $values.kafka.clientSecrets }}
      - {name: TXBOX_KAFKA__CLIENT__{{ $key | upper | replace "." "_" }}_FILE, value: {{ printf "/run/txbox/kafka/%s" $key | quote }}}
      {{- end }}
    {{- if not .job }}
    ports:
      - {name: http, containerPort: 9464}
    livenessProbe:
      httpGet: {path: /livez, port: http}
      periodSeconds: 10
      timeoutSeconds: 5
    readinessProbe:
      httpGet: {path: /readyz, port: http}
      periodSeconds: 5
      timeoutSeconds: 5
    {{- end }}
    {{- with .resources }}
    resources: {{ toYaml . | nindent 6 }}
    {{- end }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    volumeMounts:
      - {name: database, mountPath: /run/txbox/database, readOnly: true}
      {{- if $values.kafka.clientSecrets }}
      - {name: kafka, mountPath: /run/txbox/kafka, readOnly: true}
      {{- end }}
      {{- range $values.mounts }}
      - {name: {{ .secret }}, mountPath: {{ .path }}, readOnly: true}
      {{- end }}
volumes:
  - name: database
    secret:
      secretName: {{ required "database.secret.name: which Secret has database.url?" $secret.name }}
      defaultMode: 0440
  {{- with $values.kafka.clientSecrets }}
  - name: kafka
    projected:
      defaultMode: 0440
      sources:
        {{- range $key, $from := . }}
        - secret: {name: {{ $from.name }}, items: [{key: {{ $from.key }}, path: {{ $key }}}]}
        {{- end }}
  {{- end }}
  {{- range $values.mounts }}
  - {name: {{ .secret }}, secret: {secretName: {{ .secret }}, defaultMode: 0440}}
  {{- end }}
{{- end }}
