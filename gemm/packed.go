package gemm

import "github.com/nonet-go/nonet/internal/ukernel"

// computePacked is Goto's algorithm, with BLIS's names for its loops:
//
//	for jc in steps of NC              columns of B and C
//	  for pc in steps of KC            inner elements
//	    packB                          KC×NC of B, in panels of NR columns
//	    for ic in steps of MC          rows of A and C      ┐ work items of the team:
//	      packA, if the plan says so   MC×KC of A           ├ one panel, or some, of
//	      for jr in steps of NR        the macro-kernel     ┘ one block of rows
//	        for ir in steps of MR      ukernel.Indirect.RunM
//
// A block of A and a panel of B stay in the second-level cache of the worker that
// multiplies them.
func (g *Multiplier) computePacked(j *job) error {
	step := j.a.cs
	s := sizes{b: min(j.packColumns(j.nc), roundUp(j.n, 16)) * j.kc, c: min(j.m, j.mc) * j.nr}
	if j.packA {
		step, s.a = 1, roundUp(j.mc, 16)*(j.kc+rowPad)
	}
	switch j.packB {
	case packShared:
		s.b = 0
		grow(&g.panels, roundUp(min(j.n, j.nc), 16)*j.kc)
	case packBefore:
		s.b = 0
	}
	g.reserve(s)
	j.offsets = g.multiples(step)
	for ; j.jc < j.n; j.jc += j.nc {
		j.nb = min(j.nc, j.n-j.jc)
		for j.pc = 0; j.pc < j.k; j.pc += j.kc {
			j.kb = min(j.kc, j.k-j.pc)
			if err := g.computeBlock(j); err != nil {
				return err
			}
		}
	}
	return nil
}

// computeBlock adds the products of the inner elements from pc on to the columns from jc on.
func (g *Multiplier) computeBlock(j *job) error {
	switch j.packB {
	case packBefore:
		j.panels = j.packed.block(j.block)
	case packShared:
		j.panels = g.panels
		if err := g.run(j, j.packItems(), (*job).packItem); err != nil {
			return err
		}
	}
	items := j.grid(j.m, j.nb)
	return g.run(j, items.rows*items.cols, (*job).macroKernel)
}

// macroKernel computes one block of rows for one panel, or for those that it packs.
func (j *job) macroKernel(ws *workspace, item int) {
	g := j.grid(j.m, j.nb)
	i, p, from, end := g.place(item, j.workers)
	ic := i * j.mc
	args := j.rowsOfA(ws, ic)
	if p > from {
		args.PrefetchA = 0 // for the first panel that meets these rows
	}
	if j.packB == packOwn {
		j.ownPanels(ws, &args, ic, p)
		return
	}
	nr := j.panelWidth(p * j.nr)
	args.B = j.panels[p*j.nr*j.kb:][:j.kb*nr]
	if p+1 < end && 2*nr <= j.mc { // the next panel has room beside this one and A
		args.PrefetchB[0] = len(args.B)
	}
	j.macroTile(ws, &args, ic, p*j.nr)
}

// ownPanels packs the panels of an item and multiplies them.
func (j *job) ownPanels(ws *workspace, args *ukernel.IndirectArgs, ic, item int) {
	cols := j.packColumns(j.nb)
	from, to := item*cols, min((item+1)*cols, roundUp(j.nb, 16))
	j.packPanels(ws, ws.b, from, to)
	for jr := from; jr < to; jr += j.nr {
		args.B = ws.b[(jr-from)*j.kb:][:j.kb*j.panelWidth(jr)]
		j.macroTile(ws, args, ic, jr)
		args.PrefetchA = 0
	}
}

// place returns the block of rows and the panel of an item, and the range of panels that
// the same rows meet one after the other. If the panels are enough, each worker has its own,
// those that it has packed: reading what another core has written takes longer than reading
// A twice.
func (g grid) place(item, workers int) (i, p, from, end int) {
	parts := 1
	if g.cols >= 2*workers {
		parts = workers
	}
	for part := range parts {
		end = (part + 1) * g.cols / parts
		if item < g.rows*end {
			break
		}
		from = end
	}
	item -= g.rows * from
	return item / (end - from), from + item%(end-from), from, end
}

// rowsOfA returns the arguments of the micro-kernel for the rows from ic on, without B and C.
func (j *job) rowsOfA(ws *workspace, ic int) ukernel.IndirectArgs {
	args := ukernel.IndirectArgs{
		Offsets: j.offsets[:j.kb], Contiguous: j.offsets[1] == 1,
		A: j.a.from(ic, j.pc), AStep: j.a.rs, PrefetchA: j.mr * j.a.rs,
		Bias: zeros[:], LDC: j.c.rs, CBlock: 16,
	}
	if !j.first(j.pc) {
		args.Mode = ukernel.ModeAddC
	}
	if j.packA {
		j.packRows(ws, ic)
		args.A, args.AStep, args.PrefetchA = ws.a, j.kb+rowPad, 0
	}
	return args
}

// macroTile computes the rows from ic on for the panel from jr on: the loop ir. A panel that
// reaches over the last column is computed in the workspace.
func (j *job) macroTile(ws *workspace, args *ukernel.IndirectArgs, ic, jr int) {
	m, nr, n := min(j.mc, j.m-ic), len(args.B)/j.kb, min(j.nr, j.nb-jr)
	jc := j.jc + jr
	if n >= nr {
		args.C, args.LDC = j.c.from(ic, jc), j.c.rs
		j.kernel.RunM(m, nr, args)
		return
	}
	args.C, args.LDC = ws.c, nr
	if args.Mode&ukernel.ModeAddC != 0 {
		for i := range m {
			copy(ws.c[i*nr:], j.c.from(ic+i, jc)[:n])
		}
	}
	j.kernel.RunM(m, nr, args)
	for i := range m {
		copy(j.c.from(ic+i, jc)[:n], ws.c[i*nr:])
	}
}
