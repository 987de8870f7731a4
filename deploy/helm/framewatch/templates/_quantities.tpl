{{/* Whole cores of a CPU quantity ("2", 2, "2500m"), at least one; empty for none. */}}
{{- define "framewatch.cores" -}}
{{- $cpu := toString (default "" .) -}}
{{- if hasSuffix "m" $cpu -}}
{{- max 1 (div (trimSuffix "m" $cpu | atoi) 1000) -}}
{{- else if $cpu -}}
{{- max 1 ($cpu | float64 | floor | int64) -}}
{{- end -}}
{{- end -}}

{{/* Bytes of a memory quantity ("6Gi", "512M", 1073741824); empty for none. */}}
{{- define "framewatch.bytes" -}}
{{- $text := toString (default "" .) -}}
{{- if kindIs "float64" . -}}
{{- int64 . -}}
{{- else if $text -}}
{{- $number := regexFind "^[0-9.]+" $text | float64 -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf $number (get $units (regexFind "[A-Za-z]*$" $text)) | int64 -}}
{{- end -}}
{{- end -}}
