// events API TOKEN_FILE NAMESPACE/NAME CURSOR_FILE: prints the events that are
// new since the last call, one a line.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"time"
)

type page struct {
	Events []json.RawMessage `json:"events"`
	Next   string            `json:"next"`
	More   bool              `json:"more"`
	Title  string            `json:"title"`
}

func main() {
	api, tokenFile, domain, cursorFile := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	for more := true; more; {
		query := url.Values{"limit": {"1000"}}
		if after, err := os.ReadFile(cursorFile); err == nil {
			query.Set("after", string(after))
		}
		page, err := list(api+"/v1/domains/"+domain+"/events?"+query.Encode(), tokenFile)
		if err != nil {
			log.Fatal(err)
		}
		for _, event := range page.Events {
			fmt.Println(string(event))
		}
		// Only now: who is ended before this line sees the page once more, and none is missed.
		if err := os.WriteFile(cursorFile+".part", []byte(page.Next), 0o600); err != nil {
			log.Fatal(err)
		}
		if err := os.Rename(cursorFile+".part", cursorFile); err != nil {
			log.Fatal(err)
		}
		more = page.More
	}
}

func list(address, tokenFile string) (page, error) {
	var page page
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return page, err
	}
	request, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return page, err
	}
	request.Header.Set("Authorization", "Bearer "+string(bytes.TrimSpace(token)))
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Do(request)
	if err != nil {
		return page, err
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&page); err != nil {
		return page, err
	}
	if answer.StatusCode != http.StatusOK {
		return page, fmt.Errorf("%d %s", answer.StatusCode, page.Title)
	}
	return page, nil
}
