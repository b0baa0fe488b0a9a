package winograd

import "fmt"

// loops is how workers share a convolution. An item is a group of panels of outputs for a
// block of tiles. The items of a block follow each other, and a worker transforms the
// block's input once for those that it does. Neither the order nor the sizes change the bits
// of a result.
type loops struct {
	block  int // tiles of a block; the last one may have fewer
	blocks int
	groups int // of panels
}

func (l loops) items() int { return l.blocks * l.groups }

// These sizes choose the blocks, in bytes: half of the level-three cache, and all of the
// level-two cache of one core, of the machines measured (Zen 4, Zen 5). Zen 3 has half as
// much of level two. Its times for VGG's layers are equal for blocks of 17 to 49 tiles, and
// 3 to 30 % longer for blocks of 9 to 13 (BenchmarkConv, with the block changed).
const (
	largeFilter = 12 << 20
	l2          = 1 << 20
	minBlock    = 14 // fewer would read U from the last-level cache faster than it gives
	maxBlock    = 24 // more is no faster
	panelBlock  = 56
)

// These weights estimate the time of an item, in multiply-adds of one tile, one element ξ
// and one channel.
const (
	inputCost = 8    // of the input transform: as much as 8 outputs
	itemCost  = 16e3 // of an item: what it takes to hand it out
	late      = 0.25 // of an item: what workers wait for the last one
	groupCost = 0.12 // of a group of tiles, in those of a group that waits for its sums
	readCost  = 2    // of reading U from the last-level cache, in tiles
)

// loops chooses the blocks for a number of workers. One worker takes blocks that suit the
// caches. Several also try smaller blocks and groups of panels, and the fastest by the
// estimate wins.
func (c *Conv) loops(workers int) loops {
	best := c.cacheLoops()
	if workers == 1 {
		return best
	}
	first, panels := best.blocks, c.f.panels()
	time := c.estimate(best, workers)
	for blocks := 4 * workers; ; blocks /= 2 {
		for groups := 1; ; groups = min(2*groups, panels) {
			l := c.evenLoops(min(max(blocks, first), c.tiles), groups)
			if t := c.estimate(l, workers); t < time {
				best, time = l, t
			}
			if groups == panels {
				break
			}
		}
		if blocks <= first {
			return best
		}
	}
}

// cacheLoops returns the blocks that suit the caches. With few tiles, a filter larger than
// its share of the caches is read once, panel by panel. With more tiles, the input of none
// is transformed twice.
func (c *Conv) cacheLoops() loops {
	if c.f.Bytes() > largeFilter && c.tiles <= panelBlock {
		return loops{c.tiles, 1, c.f.panels()}
	}
	block := c.blockTiles()
	blocks := (c.tiles + block - 1) / block
	if blocks > 2 {
		blocks += blocks % 2 // two workers have as many each
	}
	return c.evenLoops(blocks, 1)
}

// evenLoops returns even blocks: a small remainder runs below the peak.
func (c *Conv) evenLoops(blocks, groups int) loops {
	block := (c.tiles + blocks - 1) / blocks
	return loops{block, (c.tiles + block - 1) / block, groups}
}

// blockTiles returns how many tiles fit the level-two cache with their V and their share of
// M and of U. They are whole groups, which AVX2 needs for its peak.
func (c *Conv) blockTiles() int {
	f := c.f
	perTile := f.alpha * f.alpha * (f.elementSize()*f.cBlocks*16 + 4*f.nr)
	fit := (l2 - int(min(f.Bytes(), l2/2))) / perTile
	group := f.mr
	most, least := maxBlock/group*group, (minBlock+group-1)/group*group
	if f.Bytes() > largeFilter {
		// U comes from memory for each block, and V does not fit the cache in any case. So
		// blocks are as large as possible, with one for each of eight workers.
		return min(max(c.tiles/8, least), panelBlock, c.tiles)
	}
	return min(max(fit/group*group, least), most, c.tiles)
}

// estimate returns the time that workers take for l. Each has its range of items, see
// package parallel.
func (c *Conv) estimate(l loops, workers int) float64 {
	f := c.f
	each := (l.items() + workers - 1) / workers
	transformed := 1 // blocks whose input a worker transforms
	if each > l.groups {
		transformed = (each + l.groups - 1) / l.groups
	}
	input := float64(c.vTile()*l.block*transformed) * inputCost
	panels := (f.panels() + l.groups - 1) / l.groups
	item := float64(f.alpha*f.alpha*f.rows*min(panels*f.nr, f.outputs()))*c.productTiles(l.block) + itemCost
	return input + item*(float64(each)+late)
}

// productTiles returns the time of the products of some tiles, in that of one tile of a large
// group. A group of few rows waits for its sums, and a block of few tiles for U.
func (c *Conv) productTiles(tiles int) float64 {
	sum, rows := 0.0, max(64/c.f.nr, 1)
	for _, g := range split(tiles, c.f.mr) {
		sum += float64(g.n) * (float64(max(g.tiles, rows)) + groupCost*float64(rows))
	}
	switch bytes := c.f.Bytes(); {
	case bytes > largeFilter: // U comes from memory
		return max(sum, minBlock)
	case bytes > l2/2: // from the last-level cache
		return max(sum, minBlock/2) + readCost
	}
	return sum
}

// Loops tells how a number of workers share c, in BLIS's words, for reports: M is the number
// of tiles, N of outputs, K of input channels.
func (c *Conv) Loops(workers int) string {
	f, l := c.f, c.loops(workers)
	return fmt.Sprintf("F(%d×%d,3×3), %s: NR %d, MC %d, KC %d; %d blocks, %d panels in %d groups; %d items; loops %s",
		f.m, f.m, f.kernelName(), f.nr, l.block, f.rows, l.blocks, f.panels(), l.groups, l.items(), l.order())
}

// order names the loops from the outermost on.
func (l loops) order() string {
	if l.blocks == 1 {
		return "jr, ic" // each panel is read once
	}
	return "ic, jr" // a block stays in the second-level cache
}
