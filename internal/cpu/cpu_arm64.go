//go:build !purego

package cpu

// detect: every arm64 processor that Go runs on has ASIMD.
func detect() (m [len(names)]bool) {
	m[NEON] = true
	return m
}

func features() []feature { return []feature{{"asimd", true}} }
