//go:build !purego

package cpu

import "golang.org/x/sys/cpu"

// detect asks for every extension by its own flag: HasAVX512 of x/sys/cpu
// means F alone, and some virtual machines show AVX2 without FMA. x/sys/cpu
// has no flag for F16C; every processor with AVX2 has it, and it is behind
// the same operating system support.
func detect() (m [len(names)]bool) {
	x := &cpu.X86
	m[AVX2] = x.HasAVX && x.HasAVX2 && x.HasFMA
	m[AVX512] = m[AVX2] && x.HasAVX512F && x.HasAVX512VL && x.HasAVX512BW && x.HasAVX512DQ
	m[VNNI] = m[AVX512] && x.HasAVX512VNNI
	return m
}

// features has AVX-VNNI, which no kernel uses: Go's assembler knows VPDPWSSD with AVX-512's prefix
// alone.
func features() []feature {
	x := &cpu.X86
	return []feature{
		{"avx", x.HasAVX}, {"avx2", x.HasAVX2}, {"fma", x.HasFMA},
		{"avx512f", x.HasAVX512F}, {"avx512vl", x.HasAVX512VL}, {"avx512bw", x.HasAVX512BW}, {"avx512dq", x.HasAVX512DQ},
		{"avx512vnni", x.HasAVX512VNNI}, {"avxvnni", x.HasAVXVNNI},
	}
}
