package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// asServer makes the test program behave as the command.
const asServer = "NONET_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestMeasure measures a small network for moments, and reads what was written.
func TestMeasure(t *testing.T) {
	t.Setenv(asServer, "1")
	dir := t.TempDir()
	s := settings{config: "A", divide: 32, size: 32, seconds: 0.2, rounds: 2, json: filepath.Join(dir, "r.json"), svg: filepath.Join(dir, "r.svg")}
	require.Error(t, s.lists("1,x", "0.5"))
	require.Error(t, s.lists("1", "-1"))
	s.clients, s.rates = nil, nil
	require.NoError(t, s.lists("1,3", "0.5"))
	require.NoError(t, s.measure(context.Background()))
	text, err := os.ReadFile(s.json)
	require.NoError(t, err)
	var r report
	require.NoError(t, json.Unmarshal(text, &r))
	require.Greater(t, r.OverheadMillis, 0.0)
	require.Greater(t, r.RunMillis, 0.0)
	for _, kind := range kinds {
		res := r.Servers[kind]
		require.Len(t, res.Closed, 2)
		require.Len(t, res.Open, 1)
		for _, p := range append(res.Closed, res.Open...) {
			require.Greater(t, p.Statuses["200"], 0, kind)
			require.Zero(t, p.Statuses["lost"], kind)
			require.Greater(t, p.P99, 0.0)
		}
	}
	svg, err := os.ReadFile(s.svg)
	require.NoError(t, err)
	require.Contains(t, string(svg), "batched")
}

func TestQuantile(t *testing.T) {
	require.Zero(t, quantile(nil, 0.5))
	require.Equal(t, 2.0, quantile([]float64{3, 1, 2}, 0.5))
	require.Equal(t, 3.0, quantile([]float64{3, 1, 2}, 0.99))
}
