// What real Go answers: JSON lines with "in" (and "data") come in, and go out with "out" or "err".
//
//	cd tests/matchbox/oracle && go run . KIND [DATA] < ../go/KIND.jsonl
//
// The rows of ../go and ../template are from Go 1.19 (Debian 12). Where Go 1.27, which the real matchbox
// is built with, is known to answer otherwise, the rows have that: \b and \f in JSON (1.22), the words of
// some errors, which ../template/table.jsonl has both of. Errors of templates have lost what is before
// their last part, "template: :LINE:COLUMN: executing NAME at <NODE>: ".
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"strconv"
	"text/template"
)

type row struct {
	In   any    `json:"in"`
	Data any    `json:"data,omitempty"`
	Out  any    `json:"out,omitempty"`
	Err  string `json:"err,omitempty"`
}

func latin(s string) []byte {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return b
}

func answer(kind string, in any, data any) (any, error) {
	switch kind {
	case "mac":
		hw, err := net.ParseMAC(in.(string))
		return hw.String(), err
	case "query":
		v, _ := url.ParseQuery(in.(string))
		out := map[string]string{}
		for k := range v {
			out[k] = v.Get(k)
		}
		return out, nil
	case "clean":
		return path.Clean(in.(string)), nil
	case "redirect":
		mux := http.NewServeMux()
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {})
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, &http.Request{Method: "GET", Host: "h", URL: &url.URL{Path: in.(string)}})
		return w.Header().Get("Location"), nil
	case "href":
		return (&url.URL{Path: in.(string)}).String(), nil
	case "escape":
		return url.QueryEscape(in.(string)), nil
	case "sniff":
		return http.DetectContentType(latin(in.(string))), nil
	case "read":
		var v any
		if err := json.Unmarshal(latin(in.(string)), &v); err != nil {
			return nil, err
		}
		b, err := json.Marshal(v)
		return string(b), err
	case "quote":
		b := string(latin(in.(string)))
		return []string{strconv.Quote(b), strconv.QuoteToASCII(b), strconv.FormatBool(strconv.CanBackquote(b))}, nil
	case "unquote":
		return strconv.Unquote(in.(string))
	case "float":
		a := in.([]any)
		f, err := strconv.ParseFloat(a[0].(string), 64)
		if err != nil {
			return nil, err
		}
		return strconv.FormatFloat(f, a[1].(string)[0], int(a[2].(float64)), 64), nil
	case "template":
		t, err := template.New("").Option("missingkey=error").Parse(in.(string))
		if err != nil {
			return nil, err
		}
		vars, _ := data.(map[string]any)
		if req, ok := vars["request"].(map[string]any); ok {
			if q, ok := req["query"].(map[string]any); ok {
				labels := map[string]string{}
				for k, v := range q {
					labels[k] = v.(string)
				}
				req["query"] = labels
			}
		}
		var buf bytes.Buffer
		if err = t.Execute(&buf, data); err != nil {
			return nil, err
		}
		return buf.String(), nil
	}
	panic(kind)
}

func main() {
	var standard []byte
	if len(os.Args) > 2 {
		standard, _ = os.ReadFile(os.Args[2])
	}
	s := bufio.NewScanner(os.Stdin)
	s.Buffer(nil, 1<<28)
	w := bufio.NewWriter(os.Stdout)
	defer w.Flush()
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for s.Scan() {
		var r row
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			panic(fmt.Sprint(err, s.Text()))
		}
		// Decoded once more, since the templates' data are changed.
		var again row
		json.Unmarshal(s.Bytes(), &again)
		if again.Data == nil && standard != nil {
			json.Unmarshal(standard, &again.Data)
		}
		out, err := answer(os.Args[1], r.In, again.Data)
		if err != nil {
			r.Err = err.Error()
		} else {
			r.Out = out
		}
		enc.Encode(r)
	}
}
