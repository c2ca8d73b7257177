// rewrite API TOKEN_FILE DOMAIN MESSAGE_ID RECIPIENT < mail.html > tracked.html
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	api, tokenFile, domain, messageID, recipient := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	html, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	mail := map[string]string{"domain": domain, "message_id": messageID, "recipient": recipient, "html": string(html)}
	tracked, err := rewrite(api, tokenFile, mail)
	if err != nil {
		// The mail goes out all the same, untracked.
		fmt.Fprintln(os.Stderr, err)
		tracked = string(html)
	}
	fmt.Print(tracked)
}

func rewrite(api, tokenFile string, mail map[string]string) (string, error) {
	// Read anew each time: Kubernetes replaces the token before it ends.
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(mail)
	if err != nil {
		return "", err
	}
	request, err := http.NewRequest(http.MethodPost, api+"/v1/rewrite", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+string(bytes.TrimSpace(token)))
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var said struct {
		HTML   string `json:"html"`
		Title  string `json:"title"`
		Errors []struct{ Field, Rule string }
	}
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil {
		return "", err
	}
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s %v", said.Title, said.Errors)
	}
	return said.HTML, nil
}
