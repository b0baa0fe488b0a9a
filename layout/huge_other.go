//go:build !linux

package layout

func adviseHuge([]byte) {}
