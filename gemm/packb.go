package gemm

import (
	"github.com/nonet-go/nonet/internal/pack"
	"github.com/nonet-go/nonet/internal/transpose"
)

// panelWidth returns the columns of the panel that begins with column jr of a block:
// NR, or what remains in whole blocks of 16. Those beyond nb are zeros.
func (j *job) panelWidth(jr int) int { return min(j.nr, roundUp(j.nb-jr, 16)) }

// packItems returns the items of packItem.
func (j *job) packItems() int { return ceilDiv(j.nb, j.packColumns(j.nb)) }

// packItem packs some panels of a block that all workers share.
func (j *job) packItem(ws *workspace, item int) {
	cols := j.packColumns(j.nb)
	from := item * cols
	j.packPanels(ws, j.panels[from*j.kb:], from, min(from+cols, roundUp(j.nb, 16)))
}

// packPanels copies the columns from … to of a block of ±B to panels, one behind the other:
//
//	dst[(jr-from)·kb + p·width + l] = alpha·B[pc+p][jc+jr+l]
//
// for the panels that begin with columns jr and are width columns wide.
func (j *job) packPanels(ws *workspace, dst []float32, from, to int) {
	jr := from
	if whole := (min(to, j.nb) - from) / 16; j.b.cs == 1 && j.nr == 16 {
		pack.Panels(j.kb, whole, dst, j.b.from(j.pc, j.jc+from), j.b.rs)
		jr += whole * 16
	}
	for ; jr < to; jr += j.nr {
		width := j.panelWidth(jr)
		j.packPanel(ws, dst[(jr-from)*j.kb:][:j.kb*width], jr, width)
	}
	if j.alpha != 1 {
		dst = dst[:(to-from)*j.kb]
		for i := range dst {
			dst[i] *= j.alpha
		}
	}
}

// packPanel copies one panel, from column jr of the block on.
func (j *job) packPanel(ws *workspace, dst []float32, jr, width int) {
	n := min(width, j.nb-jr)
	b := j.b.from(j.pc, j.jc+jr)
	if j.b.cs != 1 {
		j.packTransposed(ws, dst, width, b, n)
		return
	}
	pack.Rows(j.kb, n, dst, width, b, j.b.rs)
	if n < width {
		for p := range j.kb {
			clear(dst[p*width+n:][:width-n])
		}
	}
}

// packTransposed is packPanel for a B that lies by columns, n of them from b on: blocks of
// 16 are transposed.
func (j *job) packTransposed(ws *workspace, dst []float32, width int, b []float32, n int) {
	for p := 0; p < j.kb; p += transposeRows {
		rows := min(transposeRows, j.kb-p)
		for l := 0; l < width; l += 16 {
			lines := ws.lines[:rows*16]
			if width == 16 {
				lines = dst[p*16:][:rows*16]
			}
			j.transposeLines(lines, b, l, p, n)
			if width > 16 {
				pack.Rows(rows, 16, dst[p*width+l:], width, lines, 16)
			}
		}
	}
}

// transposeLines sets lines to 16 columns of B from element (p, l) behind b on, of which
// those beyond n are zeros.
func (j *job) transposeLines(lines, b []float32, l, p, n int) {
	rows := len(lines) / 16
	if n-l >= 16 {
		transpose.FromRows(lines, b[l*j.b.cs+p:], j.b.cs, rows)
		return
	}
	clear(lines)
	for i := range max(n-l, 0) {
		for r, v := range b[(l+i)*j.b.cs+p:][:rows] {
			lines[r*16+i] = v
		}
	}
}
