/* Load generator: one thread, epoll, HTTP/1.1 keep-alive to 127.0.0.1.
 *
 * usage: load MODE PORT PATH BODYFILE HEADERS CONNECTIONS SECONDS [RATE SAMPLES]       HEADERS: "A: b|C: d"
 *   closed  CONNECTIONS requests are always in flight for SECONDS
 *   stream  the same with SSE answers of mock.c: time to the first chunk, and latency of each chunk by its time stamp
 *   hold    opens CONNECTIONS streams, prints "held" when each has its first chunk or no further one comes,
 *           and keeps them open until its standard input ends (at most SECONDS)
 *   open    RATE requests a second, whether or not those before are answered, each on an idle connection or a new one,
 *           of which there are at most CONNECTIONS; writes one `sample` for each request to the file SAMPLES
 *
 * But for open, all connections are open before the clock starts. "go" is printed when it starts, one JSON object at the end;
 * times in microseconds. Requests still open at the end get GRACE to finish: they count as late and not for the rate,
 * but do for "max", which is therefore the longest request even if it never came back. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef long long i64;
#define MS 1000000LL
#define SECOND 1000000000LL
enum { HEAD_MAX = 8192, LINE_MAX_ = 4096, EVENTS = 256, OPENING_AT_ONCE = 64, MAX_BODY = 4 << 20 };
static const i64 DIAL_LIMIT = 15 * SECOND, REDIAL_AFTER = 10 * MS, GRACE = 3 * SECOND, NO_PROGRESS = 5 * SECOND;
static const i64 STREAM_SPREAD = 20 * MS, OPEN_GRACE = 12 * SECOND;

enum mode { CLOSED, STREAM, HOLD, OPEN };
enum state { DOWN, CONNECTING, READY, HEAD, BODY };
enum chunk_state { SIZE, DATA, DATA_END, TRAILER };

typedef struct {
    int fd;
    enum state state;
    i64 t0;                 /* when the request (or the connecting for it) began */
    i64 redial_at;
    size_t sent;
    int status, chunked, closing;
    i64 left;               /* body or chunk bytes to come; -1: until the end of the connection */
    enum chunk_state chunk;
    int trailer_len, size_seen;
    int has_chunk, has_done, has_error, is_idle;
    i64 first;              /* ns until the first output of a stream, 0 before */
    char head[HEAD_MAX], line[LINE_MAX_];
    int head_len, line_len;
} conn;

typedef struct { i64 *at; size_t n, cap; } series;

/* Times in ns, from when the request was due; `begun` counts from the start of the load, `first` is that of a stream's
 * first output or 0. What is no status: 0, the connection ended before the answer did or never stood; 1, no answer when
 * the load had ended for OPEN_GRACE; 2, a 200 that is not what was asked for; 3, not sent, as there was no connection. */
typedef struct { i64 begun, took, first, status; } sample;
enum { ENDED, UNFINISHED, WRONG, UNSENT };

static enum mode mode;
static int ep, port, conn_count, down_count;
static conn *conns;
static char *request;
static size_t request_len;
static series latency, first_chunk, chunk_latency;
static i64 ok, late, bad, errors, redials, chunks, late_chunks, received, longest, clock_end;
static int opening, held;
static conn **idle, **down;     /* of open: stacks of connections; an idle one may have gone down meanwhile */
static int idle_count;
static i64 started;
static int wants_stream;
static FILE *samples;

static i64 now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static void add(series *s, i64 value) {
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 65536;
        s->at = realloc(s->at, s->cap * sizeof *s->at);
    }
    s->at[s->n++] = value;
}

static int by_value(const void *a, const void *b) {
    i64 x = *(const i64 *)a, y = *(const i64 *)b;
    return x < y ? -1 : x > y;
}

static double percentile(const series *s, double p) {
    if (!s->n) return -1;
    size_t i = (size_t)(p * (double)s->n);
    return (double)s->at[i < s->n ? i : s->n - 1] / 1000.0;
}

static void put_sample(i64 t0, i64 took, i64 first, i64 status) {
    sample s = {t0 - started, took, first, status};
    if (fwrite(&s, sizeof s, 1, samples) != 1) { perror("load: samples"); exit(1); }
}

/* ---- connections ---- */

static void watch(conn *c, int op, unsigned events) {
    struct epoll_event ev = {.events = events, .data.ptr = c};
    epoll_ctl(ep, op, c->fd, &ev);
}

static void drop(conn *c, i64 redial_at) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->state = DOWN;
    c->redial_at = redial_at;
    if (down) down[down_count] = c;
    down_count++;
}

/* A connection that could not be had. */
static void undialled(conn *c) {
    redials++;
    if (mode == OPEN) { errors++; put_sample(c->t0, now() - c->t0, 0, ENDED); }
    drop(c, now() + REDIAL_AFTER);
}

static void dial(conn *c) {
    int on = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    down_count--;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) { perror("load: socket"); exit(1); }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (struct sockaddr *)&a, sizeof a) && errno != EINPROGRESS) {
        undialled(c);
        return;
    }
    c->state = CONNECTING;
    watch(c, EPOLL_CTL_ADD, EPOLLOUT);
}

static void dial_the_down(i64 t) {
    if (!down_count) return;
    for (int i = 0; i < conn_count; i++)
        if (conns[i].state == DOWN && conns[i].redial_at <= t) dial(&conns[i]);
}

static int connected(conn *c) {
    int error = 0;
    socklen_t n = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
    if (error) {
        undialled(c);
        return 0;
    }
    watch(c, EPOLL_CTL_MOD, EPOLLIN);
    c->state = READY;
    return 1;
}

/* ---- requests ---- */

static void send_more(conn *c) {
    size_t before = c->sent;
    while (c->sent < request_len) {
        ssize_t r = send(c->fd, request + c->sent, request_len - c->sent, MSG_NOSIGNAL);
        if (r <= 0) break;   /* what is wrong shows on the read side */
        c->sent += (size_t)r;
    }
    if (c->sent < request_len) watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    else if (before) watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

static void begin(conn *c, i64 t) {
    c->state = HEAD;
    c->t0 = t;
    c->sent = 0;
    c->head_len = c->line_len = 0;
    c->status = c->chunked = c->closing = 0;
    c->left = -1;
    c->chunk = SIZE;
    c->size_seen = c->trailer_len = 0;
    c->has_chunk = c->has_done = c->has_error = 0;
    c->first = 0;
    send_more(c);
}

static void go_on(conn *c) {
    i64 t = now();
    if (mode == OPEN) {
        if (!c->is_idle) idle[idle_count++] = c;
        c->is_idle = 1;
        return;
    }
    if (t < clock_end) begin(c, t);
}

static void finish(conn *c) {
    i64 t = now(), took = t - c->t0;
    if (took > longest) longest = took;
    if (mode == OPEN) {
        int is_right = c->status != 200 || (c->has_done && !c->has_error);
        if (c->status == 200 && is_right) ok++; else bad++;
        put_sample(c->t0, took, c->first, is_right ? c->status : WRONG);
    } else if (c->status != 200 || (mode == STREAM && !c->has_done)) {
        if (!bad++) fprintf(stderr, "load: status %d: %.*s\n", c->status, c->head_len > 600 ? 600 : c->head_len, c->head);
    } else if (t <= clock_end) {
        ok++;
        add(&latency, took);
    } else late++;
    c->state = READY;
    if (mode == HOLD) errors++;   /* a held stream has no end */
    else if (c->closing) drop(c, 0);
    else go_on(c);
}

static void failed(conn *c) {
    if (c->state == HEAD || c->state == BODY) {
        if (!errors++) fprintf(stderr, "load: the connection ended %s\n", c->state == HEAD ? "before an answer" : "within an answer");
        if (now() - c->t0 > longest) longest = now() - c->t0;
        if (mode == OPEN) put_sample(c->t0, now() - c->t0, c->first, ENDED);
    }
    drop(c, now() + REDIAL_AFTER);
}

/* ---- answers ---- */

static void sse_line(conn *c, const char *p, int n, i64 t) {
    static const char content[] = "\"content\":";
    if (n < 6 || memcmp(p, "data: ", 6)) return;
    if (n >= 12 && !memcmp(p + 6, "[DONE]", 6)) { c->has_done = 1; return; }
    const char *v = memmem(p, (size_t)n, content, sizeof content - 1), *end = p + n;
    if (mode == OPEN && memmem(p, (size_t)n, "\"error\"", 7)) c->has_error = 1;
    if (!v) return;
    if (mode == OPEN) { if (!c->first) c->first = t - c->t0; return; }
    v += sizeof content - 1;
    if (v < end && *v == ' ') v++;
    if (end - v < 3 || v[0] != '"' || v[1] != 't') return;
    i64 stamp = strtoll(v + 2, 0, 10);
    if (stamp < SECOND / 1000) return;
    if (!c->has_chunk) {
        c->has_chunk = 1;
        add(&first_chunk, t - c->t0);
        opening--;
        held++;
    }
    if (t <= clock_end) { add(&chunk_latency, t - stamp); chunks++; } else late_chunks++;
}

static void body_bytes(conn *c, const char *p, size_t n, i64 t) {
    if (mode == CLOSED) return;
    if (mode == OPEN && !wants_stream) {   /* small answers come in one piece */
        if (memmem(p, n, "\"choices\"", 9)) c->has_done = 1;
        return;
    }
    while (n) {
        const char *nl = memchr(p, '\n', n);
        size_t k = nl ? (size_t)(nl - p) : n;
        if (nl && !c->line_len) sse_line(c, p, (int)k, t);
        else {
            size_t room = sizeof c->line - 1 - (size_t)c->line_len, take = k < room ? k : room;
            memcpy(c->line + c->line_len, p, take);
            c->line_len += (int)take;
            if (nl) { sse_line(c, c->line, c->line_len, t); c->line_len = 0; }
        }
        p += k + (nl != 0);
        n -= k + (nl != 0);
    }
}

/* One step of the chunked decoding; returns the bytes it used, and 0 when the body has ended. */
static size_t chunk_step(conn *c, const char *p, size_t n, i64 t) {
    size_t k;
    switch (c->chunk) {
    case SIZE:
        if (!c->size_seen) { c->left = 0; c->size_seen = 1; }
        if (*p == '\n') { c->chunk = c->left ? DATA : TRAILER; c->size_seen = 0; c->trailer_len = 0; return 1; }
        if (*p >= '0' && *p <= '9') c->left = c->left * 16 + (*p - '0');
        else if ((*p | 32) >= 'a' && (*p | 32) <= 'f') c->left = c->left * 16 + ((*p | 32) - 'a' + 10);
        return 1;
    case DATA:
        k = (i64)n < c->left ? n : (size_t)c->left;
        body_bytes(c, p, k, t);
        c->left -= (i64)k;
        if (!c->left) c->chunk = DATA_END;
        return k;
    case DATA_END:
        if (*p == '\n') c->chunk = SIZE;
        return 1;
    case TRAILER:
        if (*p == '\n') { if (!c->trailer_len) return 0; c->trailer_len = 0; }
        else if (*p != '\r') c->trailer_len++;
        return 1;
    }
    return 0;
}

static void body_part(conn *c, const char *p, size_t n, i64 t) {
    if (!c->chunked) {
        body_bytes(c, p, n, t);
        if (c->left >= 0 && (c->left -= (i64)n) <= 0) finish(c);
        return;
    }
    while (n) {
        size_t used = chunk_step(c, p, n, t);
        if (!used) { finish(c); return; }
        p += used;
        n -= used;
    }
}

static void read_head(conn *c, const char *end) {
    c->status = atoi(c->head + 9);
    for (char *x = strstr(c->head, "\r\n"); x && x < end; x = strstr(x + 2, "\r\n")) {
        if (!strncasecmp(x + 2, "content-length:", 15)) c->left = atoll(x + 17);
        else if (!strncasecmp(x + 2, "transfer-encoding: chunked", 26)) c->chunked = 1;
        else if (!strncasecmp(x + 2, "connection: close", 17)) c->closing = 1;
    }
    c->state = BODY;
}

static void head_part(conn *c, const char *p, size_t n, i64 t) {
    size_t room = sizeof c->head - 1 - (size_t)c->head_len, take = n < room ? n : room;
    memcpy(c->head + c->head_len, p, take);
    c->head_len += (int)take;
    c->head[c->head_len] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) {
        if (take == room) { fprintf(stderr, "load: a head above %d bytes\n", HEAD_MAX); exit(1); }
        return;
    }
    read_head(c, end);
    size_t over = (size_t)(c->head + c->head_len - (end + 4));
    size_t used = take - over;
    if (n > used || (!c->chunked && !c->left)) body_part(c, p + used, n - used, t);
}

static void receive(conn *c) {
    static char buffer[65536];
    ssize_t r = recv(c->fd, buffer, sizeof buffer, 0);
    if (r < 0 && errno == EAGAIN) return;
    if (r <= 0) {
        if (r == 0 && c->state == BODY && !c->chunked && c->left < 0) { c->closing = 1; finish(c); }
        else failed(c);
        return;
    }
    received += r;
    i64 t = now();
    if (c->state == HEAD) head_part(c, buffer, (size_t)r, t);
    else if (c->state == BODY) body_part(c, buffer, (size_t)r, t);
    else failed(c);   /* bytes that nobody asked for */
}

/* ---- the run ---- */

static void serve_events(i64 until) {
    struct epoll_event events[EVENTS];
    i64 t = now(), wait = until > t ? until - t : 0;
    if (down_count && wait > REDIAL_AFTER) wait = REDIAL_AFTER;
    struct timespec ts = {wait / SECOND, wait % SECOND};
    int n = epoll_pwait2(ep, events, EVENTS, &ts, 0);
    for (int i = 0; i < n; i++) {
        conn *c = events[i].data.ptr;
        unsigned e = events[i].events;
        if (c->state == CONNECTING) {
            if (!connected(c) || !clock_end || mode == HOLD) continue;
            if (mode == OPEN) begin(c, c->t0); else go_on(c);
            continue;
        }
        if ((e & EPOLLOUT) && c->state == HEAD) send_more(c);
        if (e & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
    }
}

static int count(enum state s) {
    int n = 0;
    for (int i = 0; i < conn_count; i++) n += conns[i].state == s;
    return n;
}

static void make_connections(void) {
    conns = calloc((size_t)conn_count, sizeof *conns);
    for (int i = 0; i < conn_count; i++) { conns[i].fd = -1; drop(&conns[i], 0); }
}

static i64 open_connections(void) {
    i64 t0 = now(), end = t0 + DIAL_LIMIT;
    make_connections();
    while (count(READY) < conn_count && now() < end) {
        dial_the_down(now());
        serve_events(now() + REDIAL_AFTER);
    }
    errors += conn_count - count(READY);
    return now() - t0;
}

static void hold_streams(i64 end) {
    struct pollfd in = {.fd = 0, .events = POLLIN};
    int next = 0, told = 0, best = 0;
    i64 progress_at = now();
    clock_end = end;
    while (now() < end) {
        while (next < conn_count && opening < OPENING_AT_ONCE) {
            conn *c = &conns[next++];
            if (c->state == READY) { opening++; begin(c, now()); }
        }
        serve_events(now() + 20 * MS);
        if (held > best) { best = held; progress_at = now(); }
        if (!told && (held == conn_count || now() - progress_at > NO_PROGRESS)) {
            told = 1;
            puts("held");
            fflush(stdout);
        }
        if (poll(&in, 1, 0) > 0) return;
    }
}

static void closed_loop(i64 end) {
    clock_end = end;
    /* Streams that all begin in one instant would send all their chunks in the same instants. */
    i64 t0 = now(), spread = mode == STREAM ? STREAM_SPREAD : 0;
    int next = 0;
    while (now() < end) {
        i64 due = end;
        for (; next < conn_count && (due = t0 + spread * next / conn_count) <= now(); next++, due = end)
            if (conns[next].state == READY) begin(&conns[next], now());
        dial_the_down(now());
        serve_events(due < end ? due : end);
    }
    for (i64 last = end + GRACE; now() < last && count(HEAD) + count(BODY);) serve_events(now() + 10 * MS);
}

static void send_due(i64 due) {
    while (idle_count) {
        conn *c = idle[--idle_count];
        c->is_idle = 0;
        if (c->state == READY) { begin(c, due); return; }
    }
    if (!down_count) { put_sample(due, 0, 0, UNSENT); return; }
    conn *c = down[down_count - 1];
    c->t0 = due;
    dial(c);
}

static void open_loop(i64 end, double rate) {
    i64 due = started, most = (i64)((double)(end - started) / 1e9 * rate);
    clock_end = end;
    for (i64 n = 0; now() < end;) {
        i64 t = now();
        for (; (due = n < most ? started + (i64)((double)n * 1e9 / rate) : end) <= t && due < end; n++) send_due(due);
        serve_events(due < end ? due : end);
    }
    for (i64 last = end + OPEN_GRACE; now() < last && count(HEAD) + count(BODY) + count(CONNECTING);)
        serve_events(now() + 10 * MS);
    for (int i = 0; i < conn_count; i++)
        if (conns[i].state == HEAD || conns[i].state == BODY || conns[i].state == CONNECTING)
            put_sample(conns[i].t0, now() - conns[i].t0, conns[i].first, UNFINISHED);
    if (fclose(samples)) { perror("load: samples"); exit(1); }
}

static void read_request(char **argv) {
    FILE *f = fopen(argv[4], "rb");
    if (!f) { perror(argv[4]); exit(2); }
    char *body = malloc(MAX_BODY);
    size_t n = fread(body, 1, MAX_BODY, f);
    fclose(f);
    request = malloc(n + 8192);
    int k = sprintf(request, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nAccept: */*\r\n"
                    "User-Agent: OpenAI/Python 2.54.0\r\n", argv[3], port);
    for (char *h = strtok(argv[5], "|"); h; h = strtok(0, "|")) k += sprintf(request + k, "%s\r\n", h);
    k += sprintf(request + k, "Content-Length: %zu\r\n\r\n", n);
    memcpy(request + k, body, n);
    request_len = (size_t)k + n;
    wants_stream = memmem(body, n, "\"stream\": true", 14) != 0;
    free(body);
}

static void report(double elapsed, i64 connecting, int unfinished) {
    qsort(latency.at, latency.n, sizeof(i64), by_value);
    qsort(first_chunk.at, first_chunk.n, sizeof(i64), by_value);
    qsort(chunk_latency.at, chunk_latency.n, sizeof(i64), by_value);
    printf("{\"seconds\":%.4f,\"ok\":%lld,\"late\":%lld,\"bad\":%lld,\"errors\":%lld,\"unfinished\":%d,\"redials\":%lld,\"held\":%d,"
           "\"chunks\":%lld,\"late_chunks\":%lld,\"bytes\":%lld,\"connect_us\":%.0f,\"p50\":%.0f,\"p99\":%.0f,\"max\":%.0f,\"ttft50\":%.0f,"
           "\"ttft99\":%.0f,\"chunk50\":%.0f,\"chunk99\":%.0f}\n",
           elapsed, ok, late, bad, errors, unfinished, redials, held, chunks, late_chunks, received, (double)connecting / 1000,
           percentile(&latency, .5), percentile(&latency, .99), (double)longest / 1000, percentile(&first_chunk, .5),
           percentile(&first_chunk, .99), percentile(&chunk_latency, .5), percentile(&chunk_latency, .99));
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    double rate = argc > 8 ? atof(argv[8]) : 0;
    static const char *const modes[] = {"closed", "stream", "hold", "open"};
    for (int i = CLOSED; argc > 1 && i <= OPEN; i++)
        if (!strcmp(argv[1], modes[i])) mode = (enum mode)i;
    if (argc != (mode == OPEN ? 10 : 8)) {
        fprintf(stderr, "usage: load MODE PORT PATH BODYFILE HEADERS CONNECTIONS SECONDS [RATE SAMPLES]\n");
        return 2;
    }
    if (mode == OPEN && !(rate > 0 && rate < 1e7)) { fprintf(stderr, "load: a rate of %s\n", argv[8]); return 2; }
    port = atoi(argv[2]);
    conn_count = atoi(argv[6]);
    i64 span = (i64)(atof(argv[7]) * 1e9);
    read_request(argv);
    ep = epoll_create1(0);
    i64 connecting = 0;
    if (mode == OPEN) {
        if (!(samples = fopen(argv[9], "wb"))) { perror(argv[9]); return 2; }
        idle = calloc((size_t)conn_count, sizeof *idle);
        down = calloc((size_t)conn_count, sizeof *down);
        make_connections();
    } else connecting = open_connections();
    puts("go");
    fflush(stdout);
    i64 t0 = started = now(), end = t0 + span;
    if (mode == HOLD) hold_streams(end); else if (mode == OPEN) open_loop(end, rate); else closed_loop(end);
    int unfinished = count(HEAD) + count(BODY);
    for (int i = 0; i < conn_count; i++)
        if ((conns[i].state == HEAD || conns[i].state == BODY) && now() - conns[i].t0 > longest) longest = now() - conns[i].t0;
    report((double)((mode == HOLD ? now() : end) - t0) / 1e9, connecting, unfinished);
    return 0;
}
