{{/* What all pods share: no rights, no token, no environment from the namespace's services. */}}
{{- define "framewatch.pod" -}}
automountServiceAccountToken: false
# A Service named framewatch-web would else put FRAMEWATCH_WEB_PORT=tcp://… into the environment.
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  # Mounted secrets are this group's to read, and nobody else's.
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {{ toJson .Values.seccompProfile }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* What all containers share. The decoders lock themselves down further, and need no privilege for it. */}}
{{- define "framewatch.container" -}}
image: {{ include "framewatch.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext: {{ include "framewatch.containerSecurity" . }}
{{- end -}}

{{- define "framewatch.containerSecurity" -}}
{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, runAsNonRoot: true, capabilities: {drop: [ALL]}}
{{- end -}}

{{- define "framewatch.podLabels" -}}
{{ include "framewatch.selector" . }}
{{- if eq .Values.identity "azure" }}
azure.workload.identity/use: "true"
{{- end }}
{{- with .Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Volumes of the settings and secrets; takes {root, config: name of the ConfigMap}. */}}
{{- define "framewatch.volumes" -}}
- name: config
  configMap: {name: {{ .config }}}
# In memory, so that nothing can come to lie on the node's disk.
- name: tmp
  emptyDir: {medium: Memory, sizeLimit: 16Mi}
{{- range $index, $name := .root.Values.secrets }}
- name: secret-{{ $index }}
  secret: {secretName: {{ $name }}, defaultMode: 0440}
{{- end }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "framewatch.mounts" -}}
- {name: config, mountPath: /etc/framewatch, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- range $index, $name := .Values.secrets }}
# Without subPath: that would hide rotated ones.
- {name: secret-{{ $index }}, mountPath: /run/secrets/framewatch/{{ $name }}, readOnly: true}
{{- end }}
{{- range .Values.extraVolumeMounts }}
- {{ merge (dict "readOnly" true) . | toJson }}
{{- end }}
{{- end -}}

{{/* Volumes of the model and the lists. */}}
{{- define "framewatch.material.volumes" -}}
{{- range $name, $from := dict "models" .Values.model "lists" .Values.lists }}
{{- if eq $from.source "pvc" }}
- name: {{ $name }}
  persistentVolumeClaim: {claimName: {{ $from.claimName }}, readOnly: true}
{{- else if eq $from.source "image" }}
- name: {{ $name }}
  image: {reference: {{ $from.image | quote }}, pullPolicy: IfNotPresent}
{{- else if eq $from.source "copy" }}
- name: {{ $name }}
  emptyDir: {sizeLimit: {{ $from.sizeLimit }}}
{{- end }}
{{- end }}
{{- end -}}

{{- define "framewatch.material.mounts" -}}
{{- range $name, $from := dict "models" .Values.model "lists" .Values.lists }}
{{- if has $from.source (list "pvc" "image" "copy") }}
- {name: {{ $name }}, mountPath: /{{ $name }}, readOnly: true}
{{- end }}
{{- end }}
{{- end -}}

{{/* Containers that copy a model or lists out of an image, for clusters without image volumes. */}}
{{- define "framewatch.material.copies" -}}
{{- $root := . -}}
{{- range $name, $from := dict "models" .Values.model "lists" .Values.lists }}
{{- if eq $from.source "copy" }}
- name: copy-{{ $name }}
  image: {{ $from.image | quote }}
  imagePullPolicy: IfNotPresent
  command: ["cp", "-R", "{{ trimSuffix "/" $from.imagePath }}/.", "/copied/"]
  securityContext: {{ include "framewatch.containerSecurity" $root }}
  resources:
    requests: {cpu: 100m, memory: 64Mi}
    limits: {cpu: "1", memory: 256Mi}
  volumeMounts:
    - {name: {{ $name }}, mountPath: /copied}
{{- end }}
{{- end }}
{{- end -}}

{{- define "framewatch.env" -}}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
