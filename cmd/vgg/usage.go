package main

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/evaluate"
	"github.com/nonet-go/nonet/vgg/labels"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/weights"
)

// usageStatus is the exit status for wrong arguments, as of the shell's own commands.
const usageStatus = 2

// spelled returns the arguments as the parser knows them. No arguments, --version and help
// COMMAND are other forms of --help, version and COMMAND --help.
func spelled(args []string) []string {
	switch {
	case len(args) == 0:
		return []string{"--help"}
	case args[0] == "--version":
		return append([]string{"version"}, args[1:]...)
	case args[0] == "help":
		return append(args[1:len(args):len(args)], "--help")
	}
	return args
}

// helpCmd is in the list of commands for its description; see spelled.
type helpCmd struct {
	Command []string `arg:"" optional:"" help:"Command."`
}

func (*helpCmd) Run() error { return nil }

// usageError returns the message for arguments that could not be parsed.
func usageError(err error, parsed *kong.Context) string {
	var parse *kong.ParseError
	if errors.As(err, &parse) {
		parsed = parse.Context
	}
	command := "vgg"
	if parsed != nil && parsed.Selected() != nil {
		command += " " + parsed.Selected().Name
	}
	return fmt.Sprintf("%v: see %s --help", err, command)
}

// checkFlags refuses numbers that are NaN or infinite, and those outside of the
// limits that a flag's tags min and max give.
func checkFlags(parsed *kong.Context) error {
	for _, f := range parsed.Flags() {
		if err := checkNumbers(f, f.Target); err != nil {
			return err
		}
	}
	return nil
}

func checkNumbers(f *kong.Flag, v reflect.Value) error {
	switch {
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			if err := checkNumbers(f, v.Index(i)); err != nil {
				return err
			}
		}
		return nil
	case v.CanInt():
		return checkRange(f, float64(v.Int()), strconv.FormatInt(v.Int(), 10))
	case v.CanUint():
		return checkRange(f, float64(v.Uint()), strconv.FormatUint(v.Uint(), 10))
	case v.CanFloat():
		return checkRange(f, v.Float(), strconv.FormatFloat(v.Float(), 'g', -1, 64))
	}
	return nil
}

func checkRange(f *kong.Flag, x float64, text string) error {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return fmt.Errorf("--%s %s: want a finite number", f.Name, text)
	}
	limit := func(tag string) (float64, bool) {
		n, err := strconv.ParseFloat(f.Tag.Get(tag), 64)
		return n, err == nil
	}
	if least, ok := limit("min"); ok && x < least {
		return fmt.Errorf("--%s %s: want at least %v", f.Name, text, least)
	}
	if most, ok := limit("max"); ok && x > most {
		return fmt.Errorf("--%s %s: want at most %v", f.Name, text, most)
	}
	return nil
}

// sentinels are errors for programs to test for. After a sentence they tell a person nothing
// more.
var sentinels = []error{vgg.ErrShape, vgg.ErrConfig, vgg.ErrNotFinite, weights.ErrFormat, weights.ErrShape, evaluate.ErrData, labels.ErrFormat, picture.ErrFormat, picture.ErrSize}

// sentence returns an error's text for a person.
func sentence(err error) string {
	text := strings.ReplaceAll(strings.TrimPrefix(err.Error(), "vgg: "), ": vgg: ", ": ")
	for _, s := range sentinels {
		rest, found := strings.CutSuffix(text, ": "+s.Error())
		last := rest[strings.LastIndex(rest, ": ")+1:]
		if found && errors.Is(err, s) && strings.Contains(strings.TrimSpace(last), " ") {
			text = rest
		}
	}
	return text
}
