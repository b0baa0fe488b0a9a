package weights

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// unpickle runs a program that ends without its STOP.
func unpickle(program string) (any, error) {
	return (&unpickler{in: []byte(program + "."), globals: torchGlobals, persist: (&torchReader{storages: map[string]*torchStorage{}}).persist}).run()
}

// pyText is the instruction that pushes a text.
func pyText(s string) string { return "\x8c" + string([]byte{byte(len(s))}) + s }

// TestPickleValues runs every instruction that makes something else than a number.
func TestPickleValues(t *testing.T) {
	one, two, three := int64(1), int64(2), int64(3)
	object := func(items *pyDict, state any) *pyObject { return &pyObject{class: "os.x", items: items, state: state} }
	const made = "cos\nx\n)R" // an object of a class that is not known
	for program, want := range map[string]any{
		"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00K\x01": one,
		"X\x02\x00\x00\x00ab":                               "ab", "\x8c\x02ab": "ab", "\x8d\x02\x00\x00\x00\x00\x00\x00\x00ab": "ab", "U\x02ab": "ab", "T\x02\x00\x00\x00ab": "ab", "\x8c\x00": "",
		"B\x02\x00\x00\x00ab": []byte("ab"), "C\x02ab": []byte("ab"), "\x8e\x02\x00\x00\x00\x00\x00\x00\x00ab": []byte("ab"), "\x96\x02\x00\x00\x00\x00\x00\x00\x00ab": []byte("ab"),
		")": pyTuple(nil), "K\x01\x85": pyTuple{one}, "K\x01K\x02\x86": pyTuple{one, two}, "K\x01K\x02K\x03\x87": pyTuple{one, two, three}, "(K\x01K\x02t": pyTuple{one, two}, "K\x02(t": pyTuple{},
		"]": &pyList{}, "]K\x01a": &pyList{[]any{one}}, "]K\x01a(K\x02K\x03e": &pyList{[]any{one, two, three}},
		"\x8f": &pyList{}, "\x8f(K\x01K\x02\x90": &pyList{[]any{one, two}}, "(K\x01K\x02\x91": &pyList{[]any{one, two}},
		"}": &pyDict{}, "}K\x01K\x02s": &pyDict{[]any{one}, []any{two}}, "}K\x01K\x02s(K\x02K\x03K\x03K\x01u": &pyDict{[]any{one, two, three}, []any{two, three, one}},
		"K\x01K\x020": one, "K\x01(K\x02K\x031": one, "K\x012\x86": pyTuple{one, one}, "K\x01(K\x02(K\x031t\x86": pyTuple{one, pyTuple{two}},
		"K\x01q\x030h\x03": one, "K\x01r\x03\x01\x00\x000j\x03\x01\x00\x00": one, "K\x01\x94K\x02\x9400h\x01h\x00\x86": pyTuple{two, one},
		"cos\nx\n": object(nil, nil), pyText("os") + pyText("x") + "\x93": object(nil, nil), made: object(nil, nil), "cos\nx\n)\x81": object(nil, nil), "cos\nx\n)}\x92": object(nil, nil),
		made + "K\x01b":             object(nil, one),
		made + "K\x01K\x02sK\x03Ns": object(&pyDict{[]any{one, three}, []any{two, nil}}, nil),
		made + "K\x02aK\x03a":       object(&pyDict{[]any{int64(0), one}, []any{two, three}}, nil),
		"}K\x01b":                   &pyDict{}, "]K\x01b": &pyList{},
		"ccollections\nOrderedDict\n)R": &pyDict{}, "ccollections\ndefaultdict\ncos\nx\n\x85R": &pyDict{},
		"ccollections\nOrderedDict\n](K\x01K\x02\x86](K\x02K\x03ee\x85R": &pyDict{[]any{one, two}, []any{two, three}},
	} {
		got, err := unpickle(program)
		require.NoError(t, err, "%q", program)
		require.Equal(t, want, got, "%q", program)
	}
}

// TestPickleShort: an instruction that wants more than there is ends the pickle with an error.
func TestPickleShort(t *testing.T) {
	const empty, values, mark, bytes = "the stack is empty", "values wanted", "no mark", "more bytes wanted"
	for program, want := range map[string]string{
		"0": values, "\x85": values, "K\x01\x86": values, "K\x01K\x02\x87": values, "K\x01(\x85": values, "K\x01(": values, "a": values, "s": values, "K\x01s": values, "R": values, ")R": values, "b": values, "Q": values,
		"\x81": values, "\x92": values, "}\x92": values, "\x93": values, "\x8c\x01a\x93": values, "K\x01(0": values,
		"2": empty, "q\x00": empty, "r\x00\x00\x00\x00": empty, "\x94": empty, "K\x01a": empty, "(e": empty, "K\x01K\x02s": empty, "(u": empty, "(\x90": empty, "K\x01b": empty,
		"t": mark, "1": mark, "e": mark, "u": mark, "\x90": mark, "\x91": mark, "(tt": mark,
		"X\x02\x00\x00\x00": bytes, "\x8c": bytes, "\x8c\x05ab": bytes, "C\x05ab": bytes, "B\x05\x00\x00\x00ab": bytes, "j\x00\x00": bytes, "\x95\x00": bytes,
		"cos": "a line without end", "cos\nx": "a line without end",
		"h\x00": "nothing was stored as 0", "K\x01q\x01h\x02": "nothing was stored as 2", "j\x01\x00\x00\x00": "nothing was stored as 1",
		"K\x01K\x02a": "appends to what is no list", "}(K\x02e": "appends to what is no list", "](K\x01K\x02u": "what is no dictionary", "}(K\x01u": "sets 1 keys and values", "K\x01K\x02K\x03s": "what is no dictionary",
		"\x8c\x01aK\x01\x93": "a global without a name", "K\x01\x8c\x01a\x93": "a global without a name", "K\x01K\x02b": "attributes of what is no object",
		"ccollections\nOrderedDict\nK\x01R": "calls what is no function", "ccollections\nOrderedDict\nK\x01\x85R": "what is no list", "ccollections\nOrderedDict\n](K\x01e\x85R": "no pairs",
		"ccollections\nOrderedDict\n](K\x01\x85e\x85R": "no pairs", "ccollections\nOrderedDict\n](K\x01K\x02K\x03\x87e\x85R": "no pairs", "ccollections\nOrderedDict\n](](K\x01ee\x85R": "no pairs",
	} {
		_, err := unpickle(program)
		require.ErrorIs(t, err, ErrFormat, "%q", program)
		require.ErrorContains(t, err, want, "%q", program)
	}
}

// TestPickleBounds: what one instruction copies is bounded by the bytes of the pickle, and the
// number of values is bounded.
func TestPickleBounds(t *testing.T) {
	copies := func(n int) string { // a list of 50 pairs, made a dictionary n times
		return "ccollections\nOrderedDict\nq\x00K\x01K\x01\x86q\x01](" + strings.Repeat("h\x01", 50) + "eq\x02" + strings.Repeat("h\x00h\x02\x85R", n)
	}
	_, err := unpickle(copies(2))
	require.NoError(t, err)
	_, err = unpickle(copies(6))
	require.ErrorIs(t, err, ErrFormat)
	require.ErrorContains(t, err, "more values than it has bytes")

	_, err = unpickle(strings.Repeat("N", maxValues))
	require.NoError(t, err)
	_, err = unpickle(strings.Repeat("N", maxValues+2))
	require.ErrorIs(t, err, ErrFormat)
	_, err = unpickle("N" + strings.Repeat("q\x00", maxValues+2))
	require.ErrorIs(t, err, ErrFormat, "what is stored counts")
}
