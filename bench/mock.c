/* Mock of an OpenAI upstream for load measurements: one thread, epoll, HTTP/1.1 keep-alive on 127.0.0.1.
 *
 * usage: mock PORT
 *
 * GET anything                  a small JSON document (model list and server info in one)
 * POST path with "embeddings"   one embedding of 1536 floats
 * POST with "stream": true      SSE, 50 chunks and a closing one with usage; of a path with "messages" in it, the
 *                               same as Anthropic sends it
 * POST otherwise                a chat completion of about 1 kB
 *
 * The request may steer the answer with markers in the first kilobyte of its body:
 *   @delay=MS  the answer begins MS milliseconds later
 *   @gap=MS    SSE chunks are MS milliseconds apart (without it they are sent one after the other)
 *   @hold      one SSE chunk, then silence until the client leaves
 * Each SSE chunk carries its send time (CLOCK_MONOTONIC, ns) in delta.content as "t<ns> ". */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNKS = 50, HEAD_OF_BODY = 1000, MAX_QUEUES = 16, EVENTS = 512, FLOATS = 1536 };
enum kind { CHAT, STREAM, EMBEDDING, INFO };
enum state { IDLE, DELAYED, STREAMING, HOLDING };

typedef long long i64;

typedef struct conn {
    int fd;
    char *in;            /* what the client sent and we have not answered */
    size_t in_len, in_cap;
    char *out;           /* what the socket did not take yet */
    size_t out_len, out_cap;
    enum kind kind;
    enum state state;
    i64 delay, gap;      /* ns */
    int hold;
    int left;            /* SSE chunks still to send */
    int is_messages;     /* as Anthropic sends them */
    i64 due;
    int queued, dead;    /* a queued connection that dies is freed by its queue */
    struct conn *next;
} conn;

/* All members of a queue wait equally long, so a queue is a plain list and not a heap. */
typedef struct { i64 wait; conn *head, *tail; } queue;

static queue queues[MAX_QUEUES];
static int queue_count, ep;
static char chat_answer[4096], embedding_answer[48000], info_answer[1024];
static size_t chat_len, embedding_len, info_len;

static i64 now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* ---- answers ---- */

static size_t make_answer(char *out, const char *body) {
    return (size_t)sprintf(out,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
        "x-request-id: req_0123456789abcdef0123456789abcdef\r\nopenai-processing-ms: 12\r\n"
        "openai-version: 2020-10-01\r\nx-ratelimit-limit-requests: 10000\r\n"
        "x-ratelimit-remaining-requests: 9999\r\n\r\n%s", strlen(body), body);
}

static void make_answers(void) {
    static char body[48000], text[621];
    const char *fox = "the quick brown fox jumps over a lazy dog ";
    for (size_t i = 0; i < sizeof text - 1; i++) text[i] = fox[i % strlen(fox)];
    sprintf(body,
        "{\"id\":\"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT\",\"object\":\"chat.completion\",\"created\":1741569952,"
        "\"model\":\"gpt-4o-2024-08-06\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\","
        "\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":200,"
        "\"completion_tokens\":120,\"total_tokens\":320,\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},"
        "\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,\"accepted_prediction_tokens\":0,"
        "\"rejected_prediction_tokens\":0}},\"service_tier\":\"default\",\"system_fingerprint\":\"fp_fc9f1d7035\"}", text);
    chat_len = make_answer(chat_answer, body);
    int n = sprintf(body, "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":[");
    for (int i = 0; i < FLOATS; i++)
        n += sprintf(body + n, "%s%.9f", i ? "," : "", ((i * 7919) % 2001 - 1000) / 31000.0);
    sprintf(body + n, "]}],\"model\":\"text-embedding-3-small\",\"usage\":{\"prompt_tokens\":8,\"total_tokens\":8}}");
    embedding_len = make_answer(embedding_answer, body);
    info_len = make_answer(info_answer,
        "{\"status\":\"ok\",\"object\":\"list\",\"data\":[{\"id\":\"gpt-4o\",\"object\":\"model\",\"created\":1,"
        "\"owned_by\":\"mock\"}],\"model_path\":\"gpt-4o\",\"version\":\"0.5.0\"}");
}

/* ---- output ---- */

static void watch(conn *c, unsigned events) {
    struct epoll_event ev = {.events = events, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev);
}

static void flush_out(conn *c) {
    size_t done = 0;
    while (done < c->out_len) {
        ssize_t r = send(c->fd, c->out + done, c->out_len - done, MSG_NOSIGNAL);
        if (r <= 0) break;
        done += (size_t)r;
    }
    memmove(c->out, c->out + done, c->out_len - done);
    c->out_len -= done;
    if (!c->out_len) watch(c, EPOLLIN);
}

static void emit(conn *c, const char *p, size_t n) {
    if (!c->out_len) {
        ssize_t r = send(c->fd, p, n, MSG_NOSIGNAL);
        if (r < 0 && errno != EAGAIN) return;   /* the read side will see the end */
        if (r > 0) { p += r; n -= (size_t)r; }
        if (!n) return;
        watch(c, EPOLLIN | EPOLLOUT);
    }
    if (c->out_len + n > c->out_cap) {
        c->out_cap = (c->out_len + n) * 2;
        c->out = realloc(c->out, c->out_cap);
    }
    memcpy(c->out + c->out_len, p, n);
    c->out_len += n;
}

static int message_event(conn *c, char *data) {
    static const char start[] =
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_01XFDUDYJgAACzvnptvVoYEL\","
        "\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-4-5-20250929\",\"content\":[],"
        "\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":200,\"cache_creation_input_tokens\":0,"
        "\"cache_read_input_tokens\":0,\"output_tokens\":1}}}\n\n"
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
        "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
    static const char stop[] =
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
        "\"stop_sequence\":null},\"usage\":{\"output_tokens\":50}}\n\n"
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    if (c->left == 1) return sprintf(data, "%s", stop);
    return sprintf(data,
                   "%sevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
                   "\"delta\":{\"type\":\"text_delta\",\"text\":\"t%lld \"}}\n\n",
                   c->left == CHUNKS + 1 ? start : "", now());
}

static void emit_chunk(conn *c) {
    static const char head[] =
        "data: {\"id\":\"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG\",\"object\":\"chat.completion.chunk\","
        "\"created\":1741570283,\"model\":\"gpt-4o-2024-08-06\",\"service_tier\":\"default\","
        "\"system_fingerprint\":\"fp_fc9f1d7035\",\"choices\":[{\"index\":0,\"delta\":";
    char data[1200], frame[1300];
    int n, m;
    if (c->is_messages)
        n = message_event(c, data);
    else if (c->left > 1)
        n = sprintf(data, "%s{%s\"content\":\"t%lld \"},\"logprobs\":null,\"finish_reason\":null}]}\n\n", head,
                    c->left == CHUNKS + 1 ? "\"role\":\"assistant\"," : "", now());
    else
        n = sprintf(data, "%s{},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":200,"
                    "\"completion_tokens\":50,\"total_tokens\":250}}\n\ndata: [DONE]\n\n", head);
    m = sprintf(frame, "%x\r\n%s\r\n%s", (unsigned)n, data, c->left == 1 ? "0\r\n\r\n" : "");
    c->left--;
    emit(c, frame, (size_t)m);
}

/* ---- timing ---- */

static void enqueue(conn *c, i64 wait) {
    queue *q = 0;
    for (int i = 0; i < queue_count; i++)
        if (queues[i].wait == wait) q = &queues[i];
    if (!q) {
        if (queue_count == MAX_QUEUES) { fprintf(stderr, "mock: too many different delays\n"); exit(1); }
        q = &queues[queue_count++];
        q->wait = wait;
    }
    c->due = now() + wait;
    c->next = 0;
    c->queued = 1;
    if (q->tail) q->tail->next = c; else q->head = c;
    q->tail = c;
}

static void stream_on(conn *c) {
    do emit_chunk(c); while (c->left && !c->gap && !c->hold);
    if (!c->left) c->state = IDLE;
    else if (c->hold) c->state = HOLDING;
    else { c->state = STREAMING; enqueue(c, c->gap); }
}

static void answer(conn *c) {
    static const char sse_head[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
        "x-request-id: req_0123456789abcdef0123456789abcdef\r\nTransfer-Encoding: chunked\r\n\r\n";
    c->state = IDLE;
    switch (c->kind) {
    case STREAM:
        emit(c, sse_head, sizeof sse_head - 1);
        c->left = CHUNKS + 1;
        stream_on(c);
        break;
    case EMBEDDING: emit(c, embedding_answer, embedding_len); break;
    case INFO: emit(c, info_answer, info_len); break;
    case CHAT: emit(c, chat_answer, chat_len); break;
    }
}

/* ---- input ---- */

static int within(const char *p, size_t n, const char *word) { return memmem(p, n, word, strlen(word)) != 0; }

static i64 marker(const char *p, size_t n, const char *name) {
    const char *at = memmem(p, n, name, strlen(name));
    return at ? strtoll(at + strlen(name), 0, 10) * 1000000 : 0;
}

static void classify(conn *c, const char *body, size_t n) {
    size_t line = (size_t)((char *)memchr(c->in, '\n', c->in_len) - c->in);
    size_t first = n < HEAD_OF_BODY ? n : HEAD_OF_BODY, last = n < 4 * HEAD_OF_BODY ? n : HEAD_OF_BODY;
    c->delay = c->gap = c->hold = 0;
    c->is_messages = within(c->in, line, "/messages");
    if (c->in[0] == 'G') { c->kind = INFO; return; }
    c->delay = marker(body, last, "@delay=");
    c->gap = marker(body, last, "@gap=");
    c->hold = within(body, last, "@hold");
    const char *tail = body + n - last;   /* gateways may reorder the members, so look at both ends */
    if (within(c->in, line, "embeddings")) c->kind = EMBEDDING;
    else if (within(body, first, "\"stream\":true") || within(body, first, "\"stream\": true") ||
             within(tail, last, "\"stream\":true") || within(tail, last, "\"stream\": true")) c->kind = STREAM;
    else c->kind = CHAT;
}

/* Length of the first complete request in the buffer, or 0. */
static size_t complete(conn *c) {
    c->in[c->in_len] = 0;
    char *end = strstr(c->in, "\r\n\r\n");
    if (!end) return 0;
    size_t head = (size_t)(end + 4 - c->in), body = 0;
    int chunked = 0;
    *end = 0;
    for (char *p = strstr(c->in, "\r\n"); p; p = strstr(p + 2, "\r\n")) {
        if (!strncasecmp(p + 2, "content-length:", 15)) body = strtoul(p + 17, 0, 10);
        else if (!strncasecmp(p + 2, "transfer-encoding: chunked", 26)) chunked = 1;
        else if (!strncasecmp(p + 2, "expect: 100", 11) && c->in_len == head) emit(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
    *end = '\r';
    if (chunked) {   /* nobody pipelines behind a chunked body here, so its end is the end of the buffer */
        if (c->in_len < head + 5 || memcmp(c->in + c->in_len - 5, "0\r\n\r\n", 5)) return 0;
        body = c->in_len - head;
    }
    if (c->in_len < head + body) return 0;
    classify(c, c->in + head, body);
    return head + body;
}

static void take(conn *c) {
    while (c->state == IDLE && c->in_len) {
        size_t n = complete(c);
        if (!n) return;
        memmove(c->in, c->in + n, c->in_len - n);
        c->in_len -= n;
        if (c->delay) { c->state = DELAYED; enqueue(c, c->delay); } else answer(c);
    }
}

static void release(conn *c) { free(c->in); free(c->out); free(c); }

static void hang_up(conn *c) {
    close(c->fd);
    c->dead = 1;
    if (!c->queued) release(c);
}

static void receive(conn *c) {
    for (;;) {
        if (c->in_len == c->in_cap) { c->in_cap *= 4; c->in = realloc(c->in, c->in_cap + 1); }
        size_t room = c->in_cap - c->in_len;
        ssize_t r = recv(c->fd, c->in + c->in_len, room, 0);
        if (r > 0) { c->in_len += (size_t)r; if ((size_t)r < room) break; continue; }
        if (r < 0 && errno == EAGAIN) break;
        hang_up(c);
        return;
    }
    take(c);
}

static void welcome(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        conn *c = calloc(1, sizeof *c);
        c->fd = fd;
        c->in_cap = 8192;
        c->in = malloc(c->in_cap + 1);
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
    }
}

static i64 run_queues(void) {   /* returns ns until the next due time, -1 if there is none */
    i64 t = now(), wait = -1;
    for (int i = 0; i < queue_count; i++) {
        queue *q = &queues[i];
        conn *c;
        while ((c = q->head) && c->due <= t) {
            q->head = c->next;
            if (!q->head) q->tail = 0;
            c->queued = 0;
            if (c->dead) { release(c); continue; }
            if (c->state == DELAYED) answer(c); else stream_on(c);
            take(c);
        }
        if (q->head) {
            i64 w = q->head->due > t ? q->head->due - t : 0;
            if (wait < 0 || w < wait) wait = w;
        }
    }
    return wait;
}

static int listen_on(int port) {
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 4096)) { perror("mock: bind"); exit(1); }
    return fd;
}

int main(int argc, char **argv) {
    if (argc != 2) { fprintf(stderr, "usage: mock PORT\n"); return 2; }
    signal(SIGPIPE, SIG_IGN);
    make_answers();
    ep = epoll_create1(0);
    int listener = listen_on(atoi(argv[1]));
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = 0}, events[EVENTS];
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
    for (;;) {
        i64 wait = run_queues();
        struct timespec ts = {wait / 1000000000LL, wait % 1000000000LL};
        int n = epoll_pwait2(ep, events, EVENTS, wait < 0 ? 0 : &ts, 0);
        for (int i = 0; i < n; i++) {
            conn *c = events[i].data.ptr;
            if (!c) { welcome(listener); continue; }
            if (events[i].events & EPOLLOUT) flush_out(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
        }
    }
}
