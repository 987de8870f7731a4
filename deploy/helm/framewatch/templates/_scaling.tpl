{{/* One worker a step, since each moves partitions; up soon, down late. */}}
{{- define "framewatch.scaling.behavior" -}}
{{- with .Values.autoscaling -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies: [{type: Pods, value: 1, periodSeconds: {{ int .scaleUpEverySeconds }}}]
scaleDown:
  stabilizationWindowSeconds: {{ int .scaleDownAfterSeconds }}
  policies: [{type: Pods, value: 1, periodSeconds: {{ int .scaleDownEverySeconds }}}]
{{- end -}}
{{- end -}}

{{- define "framewatch.scaling.max" -}}
{{- default .Values.kafka.partitions .Values.autoscaling.maxReplicas -}}
{{- end -}}

{{/* How far behind live the slowest partition is. A worker that an operator has to mend is left out: more of them would
     not help it. */}}
{{- define "framewatch.scaling.query" -}}
{{- $of := printf "{namespace=%q,service=%q}" .Release.Namespace (include "framewatch.fullname" .) -}}
{{- $still := printf "framewatch_partitions_parked%s > 0 or framewatch_breaker_tripped%s > 0" $of $of -}}
{{- default (printf "max(framewatch_behind_seconds%s unless on (pod) (%s))" $of $still) .Values.autoscaling.keda.query -}}
{{- end -}}
