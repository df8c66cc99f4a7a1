// Command webhook is a mutating admission webhook for the cluster's own check:
// it annotates every object it is shown.
//
//	webhook CERTIFICATE KEY
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
)

const patch = `[{"op": "add", "path": "/metadata/annotations", "value": {"check/hook": "called"}}]`

type review struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Request    *request  `json:"request,omitempty"`
	Response   *response `json:"response,omitempty"`
}

type request struct {
	UID string `json:"uid"`
}

type response struct {
	UID       string `json:"uid"`
	Allowed   bool   `json:"allowed"`
	PatchType string `json:"patchType"`
	Patch     []byte `json:"patch"`
}

func main() {
	http.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/mutate", func(w http.ResponseWriter, r *http.Request) {
		var in review
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Request == nil {
			http.Error(w, "not an AdmissionReview", http.StatusBadRequest)
			return
		}
		answer := review{APIVersion: in.APIVersion, Kind: in.Kind}
		answer.Response = &response{UID: in.Request.UID, Allowed: true, PatchType: "JSONPatch", Patch: []byte(patch)}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			log.Print("answering: ", err)
		}
	})
	log.Fatal(http.ListenAndServeTLS(":8443", os.Args[1], os.Args[2], nil))
}
