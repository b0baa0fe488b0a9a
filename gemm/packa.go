package gemm

import (
	"github.com/nonet-go/nonet/internal/pack"
	"github.com/nonet-go/nonet/internal/transpose"
)

const (
	// rowPad keeps packed rows of A out of each other's cache sets.
	rowPad = 16
	// transposeRows is how many rows of a panel, or elements of 16 rows of A, are
	// transposed at a time: they stay in the first-level cache.
	transposeRows = 128
)

// packRows copies MC×KC of A from row ic on to rows of kb+rowPad elements, unless the
// workspace holds them.
func (j *job) packRows(ws *workspace, ic int) {
	if ws.ic == ic {
		return
	}
	ws.ic = ic
	m, lda := min(j.mc, j.m-ic), j.kb+rowPad
	if j.a.cs == 1 {
		pack.Rows(m, j.kb, ws.a, lda, j.a.from(ic, j.pc), j.a.rs)
		return
	}
	for i := 0; i < m; i += 16 {
		for p := 0; p < j.kb; p += transposeRows {
			n := min(transposeRows, j.kb-p)
			pack.Rows(n, min(16, m-i), ws.lines[:], 16, j.a.from(ic+i, j.pc+p), j.a.cs)
			transpose.ToRows(ws.a[i*lda+p:], ws.lines[:], lda, n) // rows beyond m are not read
		}
	}
}
