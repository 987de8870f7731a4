{{/* Peers as they are; any address never means a link-local one, where clouds keep their metadata. */}}
{{- define "framewatch.peers" -}}
{{- $found := list -}}
{{- $none := dict "0.0.0.0/0" (list "169.254.0.0/16") "::/0" (list "fe80::/10" "fd00:ec2::/32" "fd20:ce::/32") -}}
{{- range default (list (dict "ipBlock" (dict "cidr" "0.0.0.0/0")) (dict "ipBlock" (dict "cidr" "::/0"))) . -}}
{{- $peer := deepCopy . -}}
{{- with $peer.ipBlock -}}
{{- if hasKey $none .cidr -}}
{{- $_ := set . "except" (concat (default list .except) (get $none .cidr) | uniq) -}}
{{- end -}}
{{- end -}}
{{- $found = append $found $peer -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "framewatch.ports.tcp" -}}
{{- $found := list -}}
{{- range . -}}
{{- $found = append $found (dict "protocol" "TCP" "port" (int .)) -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* The brokers' ports, a JSON array of texts. */}}
{{- define "framewatch.ports.kafka" -}}
{{- $found := list -}}
{{- range splitList "," (include "framewatch.brokers" .) -}}
{{- with regexFind ":[0-9]+$" (trim .) -}}
{{- $found = append $found (trimPrefix ":" .) -}}
{{- end -}}
{{- end -}}
{{- default ($found | uniq) .Values.networkPolicy.kafka.ports | toJson -}}
{{- end -}}

{{/* Places of fetch.roots that are reached over the network, a JSON array of URIs. */}}
{{- define "framewatch.roots" -}}
{{- $found := list -}}
{{- range dig "fetch" "roots" list .Values.settings -}}
{{- $uri := kindIs "map" . | ternary (get (kindIs "map" . | ternary . dict) "uri") . -}}
{{- if not (hasPrefix "file://" (toString $uri)) -}}
{{- $found = append $found $uri -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* Who may reach whom: everything that the workers need. */}}
{{- define "framewatch.networkPolicy" -}}
{{- $policy := .Values.networkPolicy -}}
podSelector:
  matchLabels:
    {{- include "framewatch.selector" . | nindent 4 }}
policyTypes: [Ingress, Egress]
{{- if $policy.scrapers }}
ingress:
  - from: {{ toJson $policy.scrapers }}
    ports: {{ include "framewatch.ports.tcp" (list .Values.port) }}
{{- else }}
ingress: []
{{- end }}
egress:
  {{- include "framewatch.networkPolicy.brokers" . | nindent 2 }}
  {{- if include "framewatch.roots" . | fromJsonArray }}
  # stores
  - to: {{ include "framewatch.peers" $policy.stores.to }}
    ports: {{ include "framewatch.ports.tcp" $policy.stores.ports }}
  {{- end }}
  {{- with $policy.extraEgress }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The same for the Job that makes topics: it speaks to the brokers only, and nobody to it. */}}
{{- define "framewatch.networkPolicy.topics" -}}
podSelector:
  matchLabels:
    {{- include "framewatch.selector" . | nindent 4 }}
    app.kubernetes.io/component: topics
policyTypes: [Ingress, Egress]
ingress: []
egress:
  {{- include "framewatch.networkPolicy.brokers" . | nindent 2 }}
{{- end -}}

{{- define "framewatch.networkPolicy.brokers" -}}
{{- $policy := .Values.networkPolicy -}}
# name servers
- to: {{ toJson $policy.dns.to }}
  ports:
    {{- range $policy.dns.ports }}
    - {protocol: UDP, port: {{ int . }}}
    - {protocol: TCP, port: {{ int . }}}
    {{- end }}
# brokers
- to: {{ include "framewatch.peers" $policy.kafka.to }}
  ports: {{ include "framewatch.ports.tcp" (include "framewatch.ports.kafka" . | fromJsonArray) }}
{{- if has .Values.identity (list "irsa" "azure") }}
# identity: the token exchange
- to: {{ include "framewatch.peers" $policy.identityEndpoint.to }}
  ports: {{ include "framewatch.ports.tcp" $policy.identityEndpoint.ports }}
{{- else if eq .Values.identity "eks-pod-identity" }}
# identity: the node's agent
- to: [{ipBlock: {cidr: 169.254.170.23/32}}, {ipBlock: {cidr: "fd00:ec2::23/128"}}]
  ports: [{protocol: TCP, port: 80}]
{{- else if eq .Values.identity "gke" }}
# identity: the node's metadata server, where it is with Dataplane V2 and where it is without
- to: [{ipBlock: {cidr: 169.254.169.254/32}}]
  ports: [{protocol: TCP, port: 80}]
- to: [{ipBlock: {cidr: 169.254.169.252/32}}]
  ports: [{protocol: TCP, port: 988}]
{{- end }}
{{- end -}}
