//go:build js && wasm

package main

import (
	"context"
	"net/http"

	"github.com/nonet-go/nonet/serve"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/pretrained"
)

// handler is a server with the embedded network.
func handler() (http.Handler, error) {
	s, err := serve.New([]serve.Source{{
		Name: "cifar10",
		Open: func(context.Context) (*vgg.Model, error) { return pretrained.CIFAR10() },
	}})
	if err != nil {
		return nil, err
	}
	return s, s.Load(context.Background())
}
