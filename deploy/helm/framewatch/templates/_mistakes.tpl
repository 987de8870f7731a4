{{/* What contradicts itself or is missing, all at once, in words. What has the wrong type or name, the schema tells. */}}
{{- define "framewatch.mistakes" -}}
{{- $all := list -}}
{{- range list "image" "workers" "material" "files" "resources" "network" -}}
{{- $all = concat $all (include (printf "framewatch.mistakes.%s" .) $ | fromJsonArray) -}}
{{- end -}}
{{- if $all -}}
{{- fail (printf "\n\n%s\n" (join "\n" $all)) -}}
{{- end -}}
{{- end -}}

{{- define "framewatch.mistakes.image" -}}
{{- $wrong := list -}}
{{- if not .Values.image.repository -}}
{{- $wrong = append $wrong "image.repository is empty: build the image from deploy/Dockerfile, push it to your registry and name it here" -}}
{{- end -}}
{{- if and (eq .Values.image.tag "latest") (not .Values.image.digest) -}}
{{- $wrong = append $wrong "image.tag is latest: two nodes could run two versions; name a version, or image.digest" -}}
{{- end -}}
{{- if not (include "framewatch.brokers" .) -}}
{{- $wrong = append $wrong "settings.kafka.bootstrap_servers is empty: name your brokers, host:port, separated by commas" -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if hasPrefix "FRAMEWATCH_" .name -}}
{{- $wrong = append $wrong (printf "extraEnv: %s is a setting of the worker: it belongs below settings" .name) -}}
{{- end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{- define "framewatch.mistakes.workers" -}}
{{- $wrong := list -}}
{{- $partitions := int .Values.kafka.partitions -}}
{{- $most := int (include "framewatch.scaling.max" .) -}}
{{- $scaling := .Values.autoscaling -}}
{{- if eq $scaling.type "none" -}}
{{- if gt (int .Values.replicas) $partitions -}}
{{- $wrong = append $wrong (printf "replicas is %d, kafka.partitions is %d: a partition is worked by one worker, the others would have nothing to do" (int .Values.replicas) $partitions) -}}
{{- end -}}
{{- else -}}
{{- if gt $most $partitions -}}
{{- $wrong = append $wrong (printf "autoscaling.maxReplicas is %d, kafka.partitions is %d: a partition is worked by one worker, the others would have nothing to do" $most $partitions) -}}
{{- end -}}
{{- if gt (int $scaling.minReplicas) $most -}}
{{- $wrong = append $wrong (printf "autoscaling.minReplicas is %d, above the maximum of %d" (int $scaling.minReplicas) $most) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $scaling.type "hpa") (not $scaling.cpuUtilization) -}}
{{- $wrong = append $wrong "autoscaling.cpuUtilization is 0: an HPA needs it" -}}
{{- end -}}
{{- if and (eq $scaling.type "keda") (not $scaling.keda.prometheusAddress) -}}
{{- $wrong = append $wrong "autoscaling.keda.prometheusAddress is empty: name your Prometheus, such as http://prometheus.monitoring:9090" -}}
{{- end -}}
{{- if and (eq $scaling.type "keda") $scaling.keda.lag (not $scaling.keda.kafkaAuthentication) (ne (dig "kafka" "security_protocol" "PLAINTEXT" .Values.settings) "PLAINTEXT") -}}
{{- $wrong = append $wrong "autoscaling.keda.kafkaAuthentication is empty: KEDA can't ask these brokers for the lag; name a TriggerAuthentication, or set autoscaling.keda.lag to false" -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{- define "framewatch.mistakes.material" -}}
{{- $wrong := list -}}
{{- if and (eq .Values.model.source "none") (eq .Values.lists.source "none") -}}
{{- $wrong = append $wrong "model.source and lists.source are none: there would be nothing to look for; set one or both" -}}
{{- end -}}
{{- if and (eq .Values.model.source "path") (not (hasPrefix "/" .Values.model.path)) -}}
{{- $wrong = append $wrong "model.path must be absolute where model.source is path" -}}
{{- end -}}
{{- if and (ne .Values.lists.source "none") (not .Values.lists.paths) -}}
{{- $wrong = append $wrong "lists.paths is empty: name the lists, folders or files" -}}
{{- end -}}
{{- range .Values.lists.paths -}}
{{- if and (eq $.Values.lists.source "path") (not (hasPrefix "/" .)) -}}
{{- $wrong = append $wrong (printf "lists.paths: %s must be absolute where lists.source is path" .) -}}
{{- end -}}
{{- end -}}
{{- range $name, $from := dict "model" .Values.model "lists" .Values.lists -}}
{{- if and (eq $from.source "pvc") (not $from.claimName) -}}
{{- $wrong = append $wrong (printf "%s.claimName is empty: %s.source is pvc" $name $name) -}}
{{- end -}}
{{- if and (has $from.source (list "image" "copy")) (not $from.image) -}}
{{- $wrong = append $wrong (printf "%s.image is empty: %s.source is %s" $name $name $from.source) -}}
{{- end -}}
{{- if and (eq $from.source "copy") (regexMatch ":latest$" $from.image) -}}
{{- $wrong = append $wrong (printf "%s.image is a latest: two workers could have two versions; name one" $name) -}}
{{- end -}}
{{- if and (eq $from.source "image") (semverCompare "<1.33-0" $.Capabilities.KubeVersion.Version) -}}
{{- $wrong = append $wrong (printf "%s.source is image: Kubernetes %s lets no restricted pod have image volumes (1.33 and later do); use copy or pvc" $name $.Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{/* Every file of a mounted Secret that a setting names must be one that is mounted. */}}
{{- define "framewatch.mistakes.files" -}}
{{- $wrong := list -}}
{{- $named := dict -}}
{{- range $section, $keys := .Values.settings -}}
{{- range $key, $value := default dict $keys -}}
{{- if hasSuffix "_file" $key -}}
{{- $_ := set $named (printf "settings.%s.%s" $section $key) (toString $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $index, $root := dig "fetch" "roots" list .Values.settings -}}
{{- range $key, $value := kindIs "map" $root | ternary $root dict -}}
{{- if hasSuffix "_file" $key -}}
{{- $_ := set $named (printf "settings.fetch.roots[%d].%s" $index $key) (toString $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $setting, $path := $named -}}
{{- $secret := regexReplaceAll "^/run/secrets/framewatch/([^/]*)/.*$" $path "${1}" -}}
{{- if and (hasPrefix "/run/secrets/framewatch/" $path) (not (has $secret $.Values.secrets)) -}}
{{- $wrong = append $wrong (printf "%s is %s, but Secret %s is not mounted: add it to secrets" $setting $path $secret) -}}
{{- end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{- define "framewatch.mistakes.resources" -}}
{{- $wrong := list -}}
{{- $limits := default dict .Values.resources.limits -}}
{{- $settings := .Values.settings -}}
{{- if and (not (get $limits "cpu")) (not (and (dig "jail" "processes" 0 $settings) (dig "scoring" "threads" 0 $settings))) -}}
{{- $wrong = append $wrong "resources.limits.cpu is not set: a worker would start a decoder for each of its node's cores; set it, or settings.jail.processes and settings.scoring.threads" -}}
{{- end -}}
{{- $memory := include "framewatch.bytes" (get $limits "memory") -}}
{{- if not $memory -}}
{{- $wrong = append $wrong "resources.limits.memory is not set: bodies, decoders and the model take what they are allowed to (docs/memory.md)" -}}
{{- else -}}
{{- $bodies := dig "intake" "max_bytes" 536870912 $settings | int64 -}}
{{- if include "framewatch.roots" . | fromJsonArray -}}
{{- $bodies = add $bodies (dig "fetch" "in_work_bytes" 536870912 $settings | int64) -}}
{{- end -}}
{{- if lt (int64 $memory) $bodies -}}
{{- $wrong = append $wrong (printf "resources.limits.memory is %s, but the bodies in work alone may take %d bytes: raise it, or lower settings.intake.max_bytes and settings.fetch.in_work_bytes" (toString $limits.memory) $bodies) -}}
{{- end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{- define "framewatch.mistakes.network" -}}
{{- $wrong := list -}}
{{- $policy := .Values.networkPolicy -}}
{{- if $policy.enabled -}}
{{- $roots := include "framewatch.roots" . | fromJsonArray -}}
{{- if and $roots (not $policy.stores.to) -}}
{{- $wrong = append $wrong (printf "networkPolicy.stores.to is empty, but settings.fetch.roots has %s: say where it is (an ipBlock, or selectors)" (first $roots)) -}}
{{- end -}}
{{- if and (has .Values.identity (list "irsa" "azure")) (not $policy.identityEndpoint.to) -}}
{{- $wrong = append $wrong (printf "networkPolicy.identityEndpoint.to is empty, but identity is %s: say where its tokens are exchanged, best a private endpoint" .Values.identity) -}}
{{- end -}}
{{- $collector := dig "telemetry" "otlp_endpoint" "" .Values.settings -}}
{{- if and $collector (not $policy.extraEgress) -}}
{{- $wrong = append $wrong (printf "networkPolicy.extraEgress is empty, but settings.telemetry.otlp_endpoint is %s: add a rule that lets spans out to it" $collector) -}}
{{- end -}}
{{- if and (include "framewatch.brokers" .) (not (include "framewatch.ports.kafka" . | fromJsonArray)) -}}
{{- $wrong = append $wrong "settings.kafka.bootstrap_servers names no port: write host:port, or set networkPolicy.kafka.ports" -}}
{{- end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}
