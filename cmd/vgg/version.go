package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCmd struct{}

func (*versionCmd) Run(s streams) error {
	version, revision := "(unknown)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = cmp.Or(info.Main.Version, "(devel)")
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				revision = ", commit " + setting.Value
			}
		}
	}
	_, err := fmt.Fprintf(s.out, "vgg %s%s, %s %s/%s, kernels for %s\n", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH, isaName())
	return err
}
