package server

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are what an operator watches, in Prometheus's format, on an address of their own.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
}

// NewMetrics registers the metrics of requests, of the database pool, of waiting mail, and of the process.
func NewMetrics(pool *pgxpool.Pool) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "portico_http_request_duration_seconds", Help: "Time to answer, by route and status.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"method", "route", "status"}),
	}
	gauge := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
	}
	gauge("portico_db_connections_in_use", "Database connections in use.", func() float64 { return float64(pool.Stat().AcquiredConns()) })
	gauge("portico_db_connections_max", "Database connections allowed.", func() float64 { return float64(pool.Stat().MaxConns()) })
	gauge("portico_mail_waiting", "E-mails that are not delivered yet; -1 when the database can't tell.", func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		n := -1
		if err := pool.QueryRow(ctx, "select count(*) from mail_deliveries where status in ('queued', 'sending', 'retrying')").Scan(&n); err != nil {
			return -1
		}
		return float64(n)
	})
	m.registry.MustRegister(m.requests, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Watch adds how much needs attention, by cause. counts reads it at every scrape; while it can't be read there is none.
func (m *Metrics) Watch(counts func(ctx context.Context) (map[string]int, error)) {
	m.registry.MustRegister(causes{counts})
}

type causes struct {
	counts func(ctx context.Context) (map[string]int, error)
}

var causesDesc = prometheus.NewDesc("portico_watchdog_causes",
	"What is stuck, overdue or failing: jobs, mails or connections by cause, 1 where there is nothing to count, 0 where all is well.", []string{"cause"}, nil)

func (c causes) Describe(out chan<- *prometheus.Desc) { out <- causesDesc }

func (c causes) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	counts, err := c.counts(ctx)
	if err != nil {
		slog.WarnContext(ctx, "metrics of the watchdog can't be read", "error", err)
	}
	for cause, count := range counts {
		out <- prometheus.MustNewConstMetric(causesDesc, prometheus.GaugeValue, float64(count), cause)
	}
}

// Observe counts one answered request. Route is the pattern, so that ids don't become labels.
func (m *Metrics) Observe(method, route string, status int, took time.Duration) {
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
}

// Serve answers /metrics on the listener until ctx ends.
func (m *Metrics) Serve(ctx context.Context, listener net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
