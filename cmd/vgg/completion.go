package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"Shell: ${enum}."`
}

// Help is the last part of --help.
func (*completionCmd) Help() string {
	return "For the running shell:\n\n  bash, zsh   source <(vgg completion bash)\n  fish        vgg completion fish | source"
}

func (c *completionCmd) Run(s streams, app *kong.Kong) error {
	text := ""
	switch c.Shell {
	case "bash":
		text = bashCompletion(app.Model)
	case "zsh":
		text = "autoload -U +X compinit bashcompinit && compinit && bashcompinit\n" + bashCompletion(app.Model)
	default:
		text = fishCompletion(app.Model)
	}
	_, err := fmt.Fprint(s.out, text)
	return err
}

// bashCompletion completes commands, their flags, and names of files.
func bashCompletion(app *kong.Application) string {
	var commands []string
	var flags strings.Builder
	for _, command := range app.Children {
		commands = append(commands, command.Name)
		var words []string
		for _, f := range command.Flags {
			words = append(words, "--"+f.Name)
		}
		fmt.Fprintf(&flags, "\t%s) words=%q ;;\n", command.Name, strings.Join(append(words, "--help"), " "))
	}
	return fmt.Sprintf(`_vgg() {
	local words=%q current=${COMP_WORDS[COMP_CWORD]}
	COMPREPLY=()
	if [ "$COMP_CWORD" -gt 1 ]; then
		[[ $current == -* ]] || return
		case ${COMP_WORDS[1]} in
%s		esac
	fi
	COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _vgg vgg
`, strings.Join(commands, " "), strings.ReplaceAll(flags.String(), "\t", "\t\t"))
}

// fishCompletion is bashCompletion with a description of each word.
func fishCompletion(app *kong.Application) string {
	quote := func(s string) string {
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
	}
	var b strings.Builder
	for _, command := range app.Children {
		fmt.Fprintf(&b, "complete -c vgg -n __fish_use_subcommand -a %s -d %s\n", command.Name, quote(command.Help))
		for _, f := range command.Flags {
			fmt.Fprintf(&b, "complete -c vgg -n '__fish_seen_subcommand_from %s' -l %s -d %s\n", command.Name, f.Name, quote(f.Help))
		}
	}
	return b.String()
}
