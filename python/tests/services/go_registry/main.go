// A registry that lists referrers, for tests: its address and the directory of its blobs.
package main

import (
	"io"
	"log"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	address, directory := os.Args[1], os.Args[2]
	handler := registry.New(
		registry.WithReferrersSupport(true),
		registry.WithBlobHandler(registry.NewDiskBlobHandler(directory)),
		registry.Logger(log.New(io.Discard, "", 0)),
	)
	log.Fatal(http.ListenAndServe(address, handler))
}
