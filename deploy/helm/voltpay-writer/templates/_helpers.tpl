{{- define "voltpay.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "voltpay.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "voltpay.labels" -}}
{{ include "voltpay.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "voltpay.image" -}}
{{- $image := .image -}}
{{ $image.repository }}{{ if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end -}}

{{/* Where files come from: each has a name, and `files` by section and setting. */}}
{{- define "voltpay.sources" -}}
writer: {{ .Values.secrets.writer.files | toJson }}
migrator: {{ .Values.secrets.migrator.files | toJson }}
trust: {{ .Values.trust.files | toJson }}
{{- end -}}

{{/* voltpay.toml: the settings, and the paths of the mounted files. */}}
{{- define "voltpay.settings" -}}
{{- $settings := deepCopy .Values.settings -}}
{{- range $source, $sections := include "voltpay.sources" . | fromYaml -}}
{{- range $section, $files := $sections -}}
{{- range $setting, $key := $files -}}
{{- if hasKey (get $settings $section | default dict) $setting -}}
{{- fail (printf "settings.%s.%s: also the chart mounts a file for it (%s): give one of both; null removes a default" $section $setting $source) -}}
{{- end -}}
{{- $path := printf "/run/secrets/voltpay/%s/%s" $source $key -}}
{{- $settings = merge (dict $section (dict $setting $path)) $settings -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- include "voltpay.table" (dict "path" "" "table" $settings) | trim -}}
{{- end -}}

{{/* A table of TOML. JSON's texts, numbers and arrays are TOML's too; toToml would write 10.0 for 10. */}}
{{- define "voltpay.table" -}}
{{- $path := .path -}}
{{- range $name, $value := .table }}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) }}
{{ include "voltpay.key" $name }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- range $name, $value := .table }}
{{- if kindIs "map" $value }}
{{- $below := printf "%s%s" $path (include "voltpay.key" $name) }}

[{{ $below }}]
{{- include "voltpay.table" (dict "path" (printf "%s." $below) "table" $value) }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "voltpay.key" -}}
{{ if regexMatch "^[a-zA-Z0-9_-]+$" . }}{{ . }}{{ else }}{{ toJson . }}{{ end }}
{{- end -}}

{{/*
The spec of every pod.
  component: which one, also the name of its container
  image, args, resources: its container's
  secret: "writer" or "migrator"
  container: further fields of its container
  account: whether it has the writer's ServiceAccount, which does not exist before the first install
*/}}
{{- define "voltpay.pod" -}}
{{- $values := .root.Values -}}
{{- $fullname := include "voltpay.fullname" .root -}}
{{- $secret := get $values.secrets .secret -}}
{{- if .account -}}
serviceAccountName: {{ $fullname }}
{{ end -}}
automountServiceAccountToken: false
# Variables such as VOLTPAY_WRITER_PORT, which Kubernetes makes of services, look like settings.
enableServiceLinks: false
{{- with .restartPolicy }}
restartPolicy: {{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- with $values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with $values.affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
containers:
  - name: {{ .component }}
    image: {{ include "voltpay.image" . | quote }}
    imagePullPolicy: {{ .image.pullPolicy }}
    args: {{ concat .args (list "--config" "/etc/voltpay/voltpay.toml") | toJson }}
    {{- with $values.env }}
    env: {{ toJson . }}
    {{- end }}
    {{- with .container }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    resources: {{ toJson .resources }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities:
        drop: [ALL]
    volumeMounts:
      - name: settings
        mountPath: /etc/voltpay
        readOnly: true
      {{- if $secret.files }}
      - name: {{ .secret }}
        mountPath: /run/secrets/voltpay/{{ .secret }}
        readOnly: true
      {{- end }}
      {{- if $values.trust.files }}
      - name: trust
        mountPath: /run/secrets/voltpay/trust
        readOnly: true
      {{- end }}
      {{- if .scratch }}
      - name: scratch
        mountPath: /tmp
      {{- end }}
volumes:
  - name: settings
    configMap:
      name: {{ .settings | default $fullname }}
  {{- if $secret.files }}
  - name: {{ .secret }}
    secret:
      secretName: {{ $secret.name }}
      defaultMode: 0440
      items: {{- include "voltpay.items" $secret.files | trim | nindent 8 }}
  {{- end }}
  {{- if $values.trust.files }}
  - name: trust
    configMap:
      name: {{ $values.trust.configMap }}
      items: {{- include "voltpay.items" $values.trust.files | trim | nindent 8 }}
  {{- end }}
  {{- if .scratch }}
  - name: scratch
    emptyDir:
      sizeLimit: 64Mi
  {{- end }}
{{- end -}}

{{- define "voltpay.probes" -}}
ports:
  - name: metrics
    containerPort: 9464
livenessProbe:
  httpGet:
    path: /livez
    port: metrics
  timeoutSeconds: 5
readinessProbe:
  httpGet:
    path: /readyz
    port: metrics
  timeoutSeconds: 5
{{- end -}}

{{/* The keys of a Secret or a ConfigMap, each as a file of its name. */}}
{{- define "voltpay.items" -}}
{{- $keys := list -}}
{{- range $files := . }}{{ $keys = concat $keys (values $files) }}{{ end -}}
{{- range $keys | uniq | sortAlpha }}
- key: {{ . }}
  path: {{ . }}
{{- end }}
{{- end -}}

{{/* An empty list of peers would mean every address too, but strict readers expect none. */}}
{{- define "voltpay.egress" -}}
- ports:
    {{- range .ports }}
    - port: {{ . }}
    {{- end }}
  {{- with .to }}
  to: {{ toJson . }}
  {{- end }}
{{- end -}}

{{- define "voltpay.dns" -}}
- ports:
    - port: 53
      protocol: UDP
    - port: 53
{{- end -}}

{{/* What the schema of the values cannot tell. */}}
{{- define "voltpay.check" -}}
{{- $settings := .Values.settings -}}
{{- $partitions := (get ($settings.topics | default dict) "partitions") | default 100 | int -}}
{{- $migrator := get ($settings.database | default dict) "migrator" -}}
{{- $writers := dict "replicas" (int .Values.replicas) -}}
{{- if .Values.autoscaling.enabled -}}
{{- $_ := set $writers "autoscaling.maxReplicas" (int .Values.autoscaling.maxReplicas) -}}
{{- if lt (int .Values.autoscaling.maxReplicas) (int .Values.replicas) -}}
{{- fail (printf "autoscaling.maxReplicas: %d, but replicas, the least, is %d" (int .Values.autoscaling.maxReplicas) (int .Values.replicas)) -}}
{{- end -}}
{{- if not (or .Values.autoscaling.query (and .Values.observer.enabled .Values.metrics.serviceMonitor.enabled)) -}}
{{- fail "autoscaling.query: not set; without it, set observer.enabled and metrics.serviceMonitor.enabled, which bring the group lag to Prometheus" -}}
{{- end -}}
{{- end -}}
{{- range $name, $count := $writers -}}
{{- if gt $count $partitions -}}
{{- fail (printf "%s: %d writers, but settings.topics.partitions is %d, and a writer without a partition is idle: lower it, or raise the partitions" $name $count $partitions) -}}
{{- end -}}
{{- end -}}
{{- if not (hasPrefix "kafka://" $settings.source) -}}
{{- fail "settings.source: the chart is for Kafka: kafka://host:port[,host:port]" -}}
{{- end -}}
{{- if not (hasPrefix "postgresql://" $settings.store) -}}
{{- fail "settings.store: the chart is for PostgreSQL: postgresql://user@host[:port]/database" -}}
{{- end -}}
{{- range $name, $url := dict "settings.store" $settings.store "settings.database.migrator" ($migrator | default "") -}}
{{- if regexMatch "^[a-z]+://[^@/]*:[^@/]*@" $url -}}
{{- fail (printf "%s: a password in a ConfigMap is readable: leave it out of the URL, and name its file under secrets" $name) -}}
{{- end -}}
{{- end -}}
{{- if and (or .Values.migrations.enabled .Values.maintain.enabled) (not $migrator) -}}
{{- fail "settings.database.migrator: not set; the migrations and `voltpay db maintain` connect to it: postgresql://user@host[:port]/database; or set migrations.enabled and maintain.enabled to false" -}}
{{- end -}}
{{- if and .Values.trust.files (not .Values.trust.configMap) -}}
{{- fail "trust.configMap: not set; which ConfigMap has the keys that trust.files names?" -}}
{{- end -}}
{{- end -}}
