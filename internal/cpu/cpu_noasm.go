//go:build purego || !(amd64 || arm64)

package cpu

func detect() (m [len(names)]bool) { return m }

func features() []feature { return nil }
