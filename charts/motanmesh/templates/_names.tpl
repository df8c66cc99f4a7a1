{{- define "motanmesh.labels" -}}
app.kubernetes.io/name: motanmesh-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: motanmesh
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "motanmesh.selector" -}}
app.kubernetes.io/name: motanmesh-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* An image reference: (list . repository). */}}
{{- define "motanmesh.image" -}}
{{- $root := index . 0 -}}
{{- $repository := index . 1 -}}
{{- with $root.Values.images.registry }}{{ . }}/{{ end -}}
{{ $repository }}:{{ $root.Values.images.tag | default $root.Chart.AppVersion }}
{{- end }}
