{{/* The worker's settings as JSON: those of the values, and those that other values decide. */}}
{{- define "framewatch.settings" -}}
{{- $settings := deepCopy .Values.settings -}}
{{- $limits := default dict .Values.resources.limits -}}
{{- with include "framewatch.cores" (get $limits "cpu") -}}
{{- $jail := default dict (get $settings "jail") -}}
{{- $scoring := default dict (get $settings "scoring") -}}
{{- $_ := set $settings "jail" (merge $jail (dict "processes" (int .))) -}}
{{- $_ := set $settings "scoring" (merge $scoring (dict "threads" (int .))) -}}
{{- end -}}
{{- $_ := set $settings "web" (merge (dict "host" "0.0.0.0" "port" (int .Values.port)) (default dict (get $settings "web"))) -}}
{{- with include "framewatch.model" . -}}
{{- $_ := set $settings "scoring" (merge (dict "model" .) (default dict (get $settings "scoring"))) -}}
{{- end -}}
{{- with include "framewatch.lists" . | fromJsonArray -}}
{{- $_ := set $settings "matching" (merge (dict "lists" .) (default dict (get $settings "matching"))) -}}
{{- end -}}
{{- if .Values.policy -}}
{{- $_ := set $settings "policy" (dict "file" "/etc/framewatch/policy.toml") -}}
{{- end -}}
{{- toJson $settings -}}
{{- end -}}

{{/* Where the model's folder is in the pod; empty for none. */}}
{{- define "framewatch.model" -}}
{{- $model := .Values.model -}}
{{- if eq $model.source "path" -}}
{{- $model.path -}}
{{- else if ne $model.source "none" -}}
{{- trimSuffix "/" (printf "/models/%s" (trimPrefix "/" $model.path)) -}}
{{- end -}}
{{- end -}}

{{/* Where the hash lists are in the pod, a JSON array. */}}
{{- define "framewatch.lists" -}}
{{- $found := list -}}
{{- $lists := .Values.lists -}}
{{- if ne $lists.source "none" -}}
{{- range $lists.paths -}}
{{- $found = append $found (eq $lists.source "path" | ternary . (printf "/lists/%s" (trimPrefix "/" .))) -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* The worker's TOML file. */}}
{{- define "framewatch.toml" -}}
{{- range $section, $keys := include "framewatch.settings" . | fromJson }}
[{{ $section }}]
{{- range $key, $value := $keys }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }} = {{ include "framewatch.toml.value" $value }}
{{- end }}
{{- end }}
{{ end -}}
{{- end -}}

{{/* A value in TOML. JSON's texts, numbers and booleans are TOML's too; tables are not. */}}
{{- define "framewatch.toml.value" -}}
{{- if kindIs "map" . -}}
{{- $pairs := list -}}
{{- range $key, $value := . -}}
{{- $pairs = append $pairs (printf "%s = %s" $key (include "framewatch.toml.value" $value)) -}}
{{- end -}}
{ {{- join ", " $pairs -}} }
{{- else if kindIs "slice" . -}}
{{- $items := list -}}
{{- range . -}}
{{- $items = append $items (include "framewatch.toml.value" .) -}}
{{- end -}}
[{{- join ", " $items -}}]
{{- else -}}
{{- toRawJson . -}}
{{- end -}}
{{- end -}}

{{/* What stands in the folder /etc/framewatch. */}}
{{- define "framewatch.config" -}}
config.toml: |
  {{- include "framewatch.toml" . | trim | nindent 2 }}
{{- with .Values.policy }}
policy.toml: {{ toRawJson . }}
{{- end }}
{{- end -}}

{{/* How long Kubernetes waits after SIGTERM: what the worker takes at most, and 5 s. */}}
{{- define "framewatch.grace" -}}
{{- $shutdown := default dict .Values.settings.shutdown -}}
{{- add 5 (dig "grace_s" 25.0 $shutdown | float64 | ceil | int) -}}
{{- end -}}

{{/* Brokers to start from; empty where there are none yet. */}}
{{- define "framewatch.brokers" -}}
{{- dig "kafka" "bootstrap_servers" "" .Values.settings -}}
{{- end -}}
