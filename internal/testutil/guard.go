package testutil

import (
	"fmt"
	"math"
	"reflect"
	"testing"
	"unsafe"
)

// Element is what a guarded slice can hold.
type Element interface {
	~float32 | ~float64 | ~int8 | ~uint8 | ~int16 | ~uint16 | ~int32 | ~uint32 | ~int64 | ~uint64
}

// Guarded returns n zeroed elements that end at an inaccessible page: reading or
// writing one byte past the last element stops the program. The memory is given
// back when the test ends. On systems without mmap it is an ordinary slice, and
// the test's log says so.
func Guarded[T Element](t testing.TB, n int) []T {
	t.Helper()
	return guarded[T](t, n, true)
}

// GuardedHead is Guarded with the inaccessible page right before the first element.
func GuardedHead[T Element](t testing.TB, n int) []T {
	t.Helper()
	return guarded[T](t, n, false)
}

// GuardedCopy returns a copy of x that ends at an inaccessible page.
func GuardedCopy[T Element](t testing.TB, x []T) []T {
	t.Helper()
	g := Guarded[T](t, len(x))
	copy(g, x)
	return g
}

// GuardedHeadCopy returns a copy of x that begins after an inaccessible page.
func GuardedHeadCopy[T Element](t testing.TB, x []T) []T {
	t.Helper()
	g := GuardedHead[T](t, len(x))
	copy(g, x)
	return g
}

// Guards are the two ways to copy floats beside an inaccessible page: before it and after
// it.
var Guards = []func(testing.TB, []float32) []float32{GuardedCopy[float32], GuardedHeadCopy[float32]}

// poison is a signalling NaN that no computation returns: results are quiet.
const poison = 0x7fa5a5a5

// Poison fills x with a signalling NaN, so that whatever is computed from an
// element that was not written before is a NaN.
func Poison(x []float32) {
	nan := math.Float32frombits(poison)
	for i := range x {
		x[i] = nan
	}
}

// nanGuard is the number of elements on each side of NaNGuarded: more than a
// kernel's widest store, and whole cache lines.
const nanGuard = 128

// NaNGuarded returns n poisoned floats with poisoned elements before and after
// them; the test fails when, at its end, one of those was overwritten. The first
// element is aligned to 64 bytes.
func NaNGuarded(t testing.TB, n int) []float32 {
	t.Helper()
	const line = 16
	raw := make([]float32, line+nanGuard+n+nanGuard)
	skip := int(-uintptr(unsafe.Pointer(&raw[0])) % 64 / 4)
	all := raw[skip:][:nanGuard+n+nanGuard]
	Poison(all)
	t.Cleanup(func() {
		t.Helper()
		for i, v := range all {
			if at := i - nanGuard; (at < 0 || at >= n) && math.Float32bits(v) != poison {
				t.Errorf("element %d of a slice of %d was overwritten by %v", at, n, v)
				return
			}
		}
	})
	return all[nanGuard:][:n:n]
}

// Unchanged fails the test when, at its end, x differs in a bit from what it is now.
func Unchanged(t testing.TB, what string, x []float32) {
	t.Helper()
	was := append([]float32(nil), x...)
	t.Cleanup(func() {
		t.Helper()
		CheckBits(t, what+" must not change", len(x), x, was)
	})
}

// ChangesOnly fills x, runs f, and fails the test if f has changed an element of x outside of
// x[from:to]. So it tells whether a worker writes into the scratch memory of another one.
func ChangesOnly[T float32 | int64](t testing.TB, what string, x []T, from, to int, f func()) {
	t.Helper()
	for i := range x {
		x[i] = -7
	}
	f()
	for i, v := range x {
		if v != -7 && (i < from || i >= to) {
			t.Fatalf("%s: element %d of %d is changed, want changes from %d to %d only", what, i, len(x), from, to)
		}
	}
}

// Forgets fails the test if something that x refers to, other than variables of functions, is
// a part of one of the operands. What keeps them after a run keeps their memory from being
// freed.
func Forgets(t testing.TB, what string, x any, operands ...[]float32) {
	t.Helper()
	k := keeper{t: t, operands: operands, seen: map[place]bool{}}
	k.look(reflect.ValueOf(x), what)
}

// A keeper looks for operands in what a value refers to.
type keeper struct {
	t        testing.TB
	operands [][]float32
	seen     map[place]bool
}

// A place is memory that was looked at as a type.
type place struct {
	at uintptr
	as reflect.Type
}

// visit reports whether v, a pointer or a slice, is seen for the first time.
func (k *keeper) visit(v reflect.Value) bool {
	p := place{v.Pointer(), v.Type()}
	first := p.at != 0 && !k.seen[p]
	k.seen[p] = true
	return first
}

func (k *keeper) look(v reflect.Value, path string) {
	k.t.Helper()
	switch v.Kind() {
	case reflect.Slice:
		k.compare(v.Pointer(), path)
		if holdsNumbers(v) || !k.visit(v) {
			return
		}
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			if holdsNumbers(v) {
				return
			}
			k.look(v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			k.look(v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Pointer:
		if k.visit(v) {
			k.look(v.Elem(), path)
		}
	case reflect.Interface:
		if !v.IsNil() {
			k.look(v.Elem(), path)
		}
	}
}

func holdsNumbers(v reflect.Value) bool { return v.Type().Elem().Kind() <= reflect.Complex128 }

// compare fails the test if memory is that of an operand.
func (k *keeper) compare(at uintptr, path string) {
	k.t.Helper()
	for i, o := range k.operands {
		if from := uintptr(unsafe.Pointer(unsafe.SliceData(o))); at >= from && at < from+4*uintptr(len(o)) {
			k.t.Errorf("%s is a part of operand %d", path, i)
		}
	}
}
