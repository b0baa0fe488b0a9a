//go:build js && wasm

// Command wasm is the server's API with the embedded network, for the page that runs
// without a server. worker.js starts it and calls nonet(method, path, type, body).
package main

import (
	"bytes"
	"net/http"
	"syscall/js"
)

func main() {
	h, err := handler()
	if err != nil {
		panic(err) // the embedded network does not open
	}
	js.Global().Set("nonet", js.FuncOf(func(_ js.Value, args []js.Value) any {
		body := make([]byte, args[3].Length())
		js.CopyBytesToGo(body, args[3])
		r, err := http.NewRequest(args[0].String(), args[1].String(), bytes.NewReader(body))
		if err == nil {
			r.Header.Set("Content-Type", args[2].String())
		}
		return promise(func() (js.Value, error) {
			if err != nil {
				return js.Undefined(), err
			}
			return answer(h, r), nil
		})
	}))
	js.Global().Call("nonetReady")
	select {} // worker.js ends the program with the worker
}

// promise runs fn, which may take long, and resolves to its result.
func promise(fn func() (js.Value, error)) js.Value {
	var executor js.Func
	executor = js.FuncOf(func(_ js.Value, args []js.Value) any {
		go func() {
			defer executor.Release()
			v, err := fn()
			if err != nil {
				args[1].Invoke(js.Global().Get("Error").New(err.Error()))
				return
			}
			args[0].Invoke(v)
		}()
		return nil
	})
	return js.Global().Get("Promise").New(executor)
}

// answer returns {status, headers, body} of what the handler says.
func answer(h http.Handler, r *http.Request) js.Value {
	w := &response{header: http.Header{}, status: http.StatusOK}
	h.ServeHTTP(w, r)
	body := js.Global().Get("Uint8Array").New(w.body.Len())
	js.CopyBytesToJS(body, w.body.Bytes())
	headers := map[string]any{}
	for name := range w.header {
		headers[name] = w.header.Get(name)
	}
	return js.ValueOf(map[string]any{"status": w.status, "headers": headers, "body": body})
}

// response keeps what a handler writes.
type response struct {
	header  http.Header
	status  int
	started bool
	body    bytes.Buffer
}

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) {
	if !w.started && status >= 200 {
		w.status, w.started = status, true
	}
}

func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}
