package serve

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/perceptual"
)

// A Source is a network that a Server offers.
type Source struct {
	Name    string // in paths: letters, digits, dots, dashes and underscores
	Version string // a number; "1" if empty
	// Open reads the network, again each time that it is loaded.
	Open func(ctx context.Context) (*vgg.Model, error)
	// Metrics are distances of pictures besides the cosine of activations, by the names
	// that requests use: lpips, dists. They are called each time that the network is
	// loaded, which is m.
	Metrics map[string]func(m *vgg.Model) (*perceptual.Metric, error)
	// Similar gives the pictures among which neighbours are found; nil: there are none.
	// It is called each time that the network is loaded.
	Similar func(m *vgg.Model) (*Collection, error)
}

// imageSuffix makes the name of a network that takes encoded pictures of the name of the
// one that takes tensors.
const imageSuffix = "-image"

// The states of a network, as the protocol's index calls them.
const (
	stateReady       = "READY"
	stateLoading     = "LOADING"
	stateUnavailable = "UNAVAILABLE"
)

// entry is a network of the repository.
type entry struct {
	source Source
	state  string
	reason string  // why it is not ready, or what was wrong with the last reload
	m      *loaded // nil unless it is ready
}

// repository holds the networks.
type repository struct {
	entries []*entry // by name, then version, newest first
	opts    *options

	loading sync.Mutex // held while one is being loaded: memory holds one more than are served
	mu      sync.Mutex // guards what is in the entries
}

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

func newRepository(sources []Source, o *options) (*repository, error) {
	r := &repository{opts: o}
	for _, s := range sources {
		s.Version = cmp.Or(s.Version, "1")
		v, err := strconv.ParseUint(s.Version, 10, 31)
		switch {
		case !validName.MatchString(s.Name) || s.Name == "stats" || strings.HasSuffix(s.Name, imageSuffix):
			return nil, fmt.Errorf("serve: %q is no name of a network: want letters, digits, dots, dashes and underscores, and neither stats nor %s at the end", s.Name, imageSuffix)
		case err != nil || v == 0 || s.Version[0] == '0':
			return nil, fmt.Errorf("serve: version %q of %s, want a number from 1", s.Version, s.Name)
		case s.Open == nil:
			return nil, fmt.Errorf("serve: %s cannot be opened", s.Name)
		case s.Metrics[cosine] != nil:
			return nil, fmt.Errorf("serve: %s has a metric %s of its own", s.Name, cosine)
		case r.find(s.Name, s.Version) != nil:
			return nil, fmt.Errorf("serve: %s version %s is there twice", s.Name, s.Version)
		}
		r.entries = append(r.entries, &entry{source: s, state: stateUnavailable, reason: "not loaded"})
	}
	if len(r.entries) == 0 {
		return nil, fmt.Errorf("serve: no networks")
	}
	slices.SortStableFunc(r.entries, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.source.Name, b.source.Name), cmp.Compare(number(b.source.Version), number(a.source.Version)))
	})
	return r, nil
}

func number(version string) int {
	n, _ := strconv.Atoi(version) // checked by newRepository
	return n
}

// find returns an entry, or nil.
func (r *repository) find(name, version string) *entry {
	for _, e := range r.entries {
		if e.source.Name == name && e.source.Version == version {
			return e
		}
	}
	return nil
}

// versions returns the entries of a name, newest first.
func (r *repository) versions(name string) (list []*entry) {
	for _, e := range r.entries {
		if e.source.Name == name {
			list = append(list, e)
		}
	}
	return list
}

// view is a network under one of its two names.
type view struct {
	*loaded
	image bool
}

// name returns the name of the view.
func (v view) name() string {
	if v.image {
		return v.loaded.name + imageSuffix
	}
	return v.loaded.name
}

// lookup finds a network that is ready: the newest version if version is empty.
func (r *repository) lookup(name, version string) (view, error) {
	base, image := strings.CutSuffix(name, imageSuffix)
	list := r.versions(base)
	if len(list) == 0 {
		return view{}, faultf(http.StatusNotFound, "there is no network %s", shorten(name))
	}
	known := false
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range list {
		if version != "" && version != e.source.Version {
			continue
		}
		known = true
		if e.m != nil {
			return view{e.m, image}, nil
		}
	}
	if !known {
		return view{}, faultf(http.StatusNotFound, "%s has no version %s", shorten(name), shorten(version))
	}
	return view{}, faultf(http.StatusServiceUnavailable, "%s is not loaded", shorten(name))
}

// first returns the name of the network that is taken if none is named: the only one.
func (r *repository) first() (string, error) {
	name := r.entries[0].source.Name
	if r.entries[len(r.entries)-1].source.Name != name {
		return "", faultf(http.StatusBadRequest, "there are several networks: say which by ?model=, as GET /v1/models lists them")
	}
	return name, nil
}

// shorten bounds what is repeated of a client's text.
func shorten(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strconv.Quote(s)
}

// load opens all versions of a name and puts them in the place of those before. What
// cannot be opened keeps the one before.
func (r *repository) load(ctx context.Context, name string) error {
	list := r.versions(strings.TrimSuffix(name, imageSuffix))
	if len(list) == 0 {
		return faultf(http.StatusNotFound, "there is no network %s", shorten(name))
	}
	var first error
	for _, e := range list {
		if err := r.loadEntry(ctx, e); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (r *repository) loadEntry(ctx context.Context, e *entry) error {
	r.loading.Lock()
	defer r.loading.Unlock()
	r.set(func() {
		if e.m == nil {
			e.state, e.reason = stateLoading, ""
		}
	})
	m, err := e.open(ctx, r.opts)
	r.set(func() {
		switch {
		case err == nil:
			e.m, e.state, e.reason = m, stateReady, ""
		case e.m != nil:
			e.reason = "the last reload failed: the network is the one before"
		default:
			e.state, e.reason = stateUnavailable, "it could not be loaded"
		}
	})
	return err
}

func (e *entry) open(ctx context.Context, o *options) (*loaded, error) {
	m, err := e.source.Open(ctx)
	if err != nil {
		return nil, err
	}
	l, err := newLoaded(ctx, e.source.Name, e.source.Version, m, o)
	if err != nil {
		return l, err
	}
	for name, metric := range e.source.Metrics {
		if l.metrics[name], err = metric(m); err != nil {
			return l, err
		}
	}
	if e.source.Similar != nil {
		if l.collection, err = e.source.Similar(m); err == nil {
			err = l.collection.fits(l)
		}
	}
	return l, err
}

// set changes an entry, among others that look at it.
func (r *repository) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// unload forgets the networks of a name; what they are computing is finished.
func (r *repository) unload(name string) error {
	list := r.versions(strings.TrimSuffix(name, imageSuffix))
	if len(list) == 0 {
		return faultf(http.StatusNotFound, "there is no network %s", shorten(name))
	}
	r.loading.Lock()
	defer r.loading.Unlock()
	for _, e := range list {
		r.set(func() { e.m, e.state, e.reason = nil, stateUnavailable, "unloaded" })
	}
	return nil
}

// indexEntry is a line of the index.
type indexEntry struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
}

// index lists the networks under each of their names.
func (r *repository) index(readyOnly bool) []indexEntry {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []indexEntry{}
	for _, suffix := range []string{"", imageSuffix} {
		for _, e := range r.entries {
			if !readyOnly || e.state == stateReady {
				list = append(list, indexEntry{e.source.Name + suffix, e.source.Version, e.state, e.reason})
			}
		}
	}
	return list
}

// all returns the networks that are ready.
func (r *repository) all() (list []*loaded) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.entries {
		if e.m != nil {
			list = append(list, e.m)
		}
	}
	return list
}

// ready says whether all networks are loaded that were not unloaded on purpose.
func (r *repository) ready() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	some := false
	for _, e := range r.entries {
		some = some || e.m != nil
		if e.m == nil && e.reason != "unloaded" {
			return false
		}
	}
	return some
}
