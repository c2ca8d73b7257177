// webhook PORT SECRET_FILE: a receiver of an event sink, which prints the events
// that come.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func main() {
	port, secretFile := os.Args[1], os.Args[2]
	secret, err := os.ReadFile(secretFile)
	if err != nil {
		log.Fatal(err)
	}
	webhook, err := webhooks.NewWebhook(strings.TrimSpace(string(secret)))
	if err != nil {
		log.Fatal(err)
	}
	receive := func(response http.ResponseWriter, request *http.Request) {
		// The bytes as they came: JSON that was read and written again has another signature.
		body, err := io.ReadAll(http.MaxBytesReader(response, request.Body, 1<<20))
		if err != nil || webhook.Verify(body, request.Header) != nil {
			response.WriteHeader(http.StatusUnauthorized)
			return
		}
		// An event may come twice: it has the same id then.
		fmt.Println(string(body))
		response.WriteHeader(http.StatusNoContent)
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, http.HandlerFunc(receive)))
}
