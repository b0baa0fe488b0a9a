package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// What stands between these two lines of README.md comes from the result file
// that the first one names. There is one such part for each instruction set.
var readmePart = regexp.MustCompile(`(?s)<!-- bench/compare: (\S+) -->\n.*?<!-- end of bench/compare -->`)

// writeReadme replaces a table in a README by that of a result file, whose path is
// relative to the README's folder: the table of a machine with the same instructions.
func writeReadme(readme, path string) error {
	text, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	root := filepath.Dir(readme)
	part, err := readmeText(root, path)
	if err != nil {
		return err
	}
	isa, err := isaOf(root, path)
	if err != nil {
		return err
	}
	for _, m := range readmePart.FindAllSubmatchIndex(text, -1) {
		old, err := isaOf(root, string(text[m[2]:m[3]]))
		if err != nil {
			return err
		}
		if old == isa {
			return os.WriteFile(readme, slices.Replace(text, m[0], m[1], []byte(part)...), 0o644)
		}
	}
	return fmt.Errorf("%s has no line <!-- bench/compare: … --> with results of %s", readme, isa)
}

// isaOf names the best instruction set of the machine that a result file comes from.
func isaOf(root, path string) (string, error) {
	rep, err := readReport(filepath.Join(root, path))
	if err != nil {
		return "", err
	}
	for _, p := range rep.Peak {
		if p.ISA == "avx512" && p.GFLOPS > 0 {
			return p.ISA, nil
		}
	}
	return "avx2", nil
}

// readmeText is what README.md says of a result file in the folder root.
func readmeText(root, path string) (string, error) {
	rep, err := readReport(filepath.Join(root, path))
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	path = filepath.ToSlash(path)
	fmt.Fprintf(&b, "<!-- bench/compare: %s -->\n", path)
	rep.readmeTable(&b)
	fmt.Fprintf(&b, "\n%s; fused multiply-adds at ", rep.Machine.CPU)
	threads := rep.threads()
	for i, t := range threads {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%.0f GFLOP/s on %s", best(rep.Peak, t), plural(t, "thread"))
	}
	versions := slices.Concat([]string{rep.Machine.Go}, rep.Debian)
	for _, r := range rep.Results {
		if r.Subject == "ONNX Runtime" && !slices.Contains(versions, r.Version) {
			versions = append(versions, r.Version)
		}
	}
	fmt.Fprintf(&b, ". %s. Commit %s. All samples: [%s](%s). The commands:\n\n```sh\n", strings.Join(versions, ", "), rep.Commit, filepath.Base(path), path)
	commands := strings.Split(rep.Command, "\n")
	for i, c := range commands {
		if !slices.Contains(commands[:i], c) {
			b.WriteString(c + "\n")
		}
	}
	b.WriteString("```\n\n")
	for _, c := range rep.charts() {
		if strings.HasPrefix(c.file, "vgg") {
			fmt.Fprintf(&b, "![%s](%s-%s.svg)\n", c.title, strings.TrimSuffix(path, ".json"), c.file)
		}
	}
	b.WriteString("<!-- end of bench/compare -->")
	return b.String(), nil
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return itoa(n) + " " + word + "s"
}

// threads lists the thread counts of the results.
func (rep *report) threads() (list []int) {
	for _, r := range rep.Results {
		if !slices.Contains(list, r.Threads) {
			list = append(list, r.Threads)
		}
	}
	return list
}

// readmeTable has a row a subject and a column a network or training step: the
// median in ms and, in parentheses, the subject's time over nonet's.
func (rep *report) readmeTable(b *bytes.Buffer) {
	works := slices.DeleteFunc(rep.works(), func(w []result) bool { return w[0].GFLOPS > 0 || len(w[0].Layers) > 0 })
	var subjects []string
	for _, w := range works {
		for _, r := range w {
			if !slices.Contains(subjects, r.Subject) {
				subjects = append(subjects, r.Subject)
			}
		}
	}
	b.WriteString("| ms (times nonet's) |")
	for _, w := range works {
		fmt.Fprintf(b, " %s, %s |", workTitle(w[0].Work), plural(w[0].Threads, "thread"))
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(works)) + "\n")
	for _, s := range subjects {
		fmt.Fprintf(b, "| %s |", s)
		for _, w := range works {
			cell := ""
			for _, r := range w {
				if r.Subject == s {
					cell = fmt.Sprintf("%.1f", r.Median)
					if r.Spread != nil {
						cell += fmt.Sprintf(" (%.2f)", 1/r.Ratio)
					}
				}
			}
			fmt.Fprintf(b, " %s |", cell)
		}
		b.WriteString("\n")
	}
}

// workTitle turns vggD_b1 or RepVGG-A0_b1 into words.
func workTitle(work string) string {
	m := regexp.MustCompile(`^(?:vgg)?(.+)_b(\d+)(_train)?$`).FindStringSubmatch(work)
	if m == nil {
		return work
	}
	if m[3] != "" {
		return m[1] + ", training step of " + m[2]
	}
	return m[1] + ", batch " + m[2]
}
