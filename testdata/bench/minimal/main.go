// Command minimal fetches a token with little more than net/http:
//
//	minimal URL CA-FILE TOKEN-FILE
//
// CA-FILE has the authorities, "" for those of the system. With a TOKEN-FILE only the
// first of many runs fetches, and the others read it there.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"syscall"
)

func main() {
	endpoint, authorities, file := os.Args[1], os.Args[2], os.Args[3]
	if file == "" {
		fmt.Println(fetch(endpoint, authorities))
		return
	}
	lock, err := os.OpenFile(file+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	check(err)
	check(syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	token, err := os.ReadFile(file)
	if err != nil {
		token = []byte(fetch(endpoint, authorities))
		check(os.WriteFile(file, token, 0o600))
	}
	check(lock.Close())
	fmt.Println(string(token))
}

func fetch(endpoint, authorities string) string {
	if authorities != "" {
		data, err := os.ReadFile(authorities)
		check(err)
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(data)
		http.DefaultTransport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	}
	response, err := http.PostForm(endpoint, url.Values{
		"client_id": {"42"}, "client_secret": {"demo-client-secret"},
		"username": {"ops@example.com"}, "password": {"demo-password"}, "grant_type": {"password"},
	})
	check(err)
	defer response.Body.Close()
	var reply struct {
		Token string `json:"access_token"`
	}
	check(json.NewDecoder(response.Body).Decode(&reply))
	return reply.Token
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
