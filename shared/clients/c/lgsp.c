/* A client of the LGSP gateway: opens a session, calls a service in it, verifies a call that reached a target directly.
 *
 * C11 and POSIX sockets, no library: cc -std=c11 -O2 -o lgsp lgsp.c. Plain HTTP only: reach a TLS listener through a local
 * TLS proxy. The access key and the secret come from LGSP_ACCESS_KEY and LGSP_SECRET_KEY.
 *
 *     lgsp call PLATFORM SERVICE METHOD URL [BODY_FILE]   source: steps 1 to 3; URL is the platform's or the target's own
 *     lgsp verify PLATFORM SERVICE < REQUEST_HEAD         target: steps 4 to 6; prints who is calling and the digest of its body
 *
 * Exit status: 0 done, 1 refused (why and what to do is on standard error), 2 the answer is not the platform's.
 */
#define _POSIX_C_SOURCE 200809L
#include <ctype.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { DEADLINE_SECS = 30, ANSWER_BYTES_MAX = 64 << 20 };
static const char ANSWER_COVERS[] =
    "(\"@status\" \"content-digest\" \"@method\";req \"@authority\";req \"@path\";req \"signature\";req);";

static void fail(int status, const char *text) {
    fprintf(stderr, "%s\n", text);
    exit(status);
}

/* A text that grows. */
struct text {
    char *bytes;
    size_t length, room;
};

static void add(struct text *text, const void *bytes, size_t length) {
    if (text->length + length + 1 > text->room) {
        text->room = 2 * (text->length + length + 1);
        text->bytes = realloc(text->bytes, text->room);
        if (!text->bytes) fail(1, "no memory");
    }
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = 0;
}

static void put(struct text *text, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    char *line = malloc((size_t)length + 1);
    if (!line) fail(1, "no memory");
    vsnprintf(line, (size_t)length + 1, format, again);
    va_end(arguments);
    va_end(again);
    add(text, line, (size_t)length);
    free(line);
}

/* SHA-256 (FIPS 180-4) and HMAC (RFC 2104). */
static uint32_t rotate(uint32_t word, int by) { return word >> by | word << (32 - by); }

static void sha256_block(uint32_t state[8], const uint8_t *block) {
    static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
        0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
        0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
        0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
        0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
        0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
        0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
        0xc67178f2};
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 |
               block[4 * i + 3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] + (rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3) +
               (rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(v, state, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t a = v[0], e = v[4];
        uint32_t t1 = v[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & v[5]) ^ (~e & v[6])) + k[i] + w[i];
        uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) state[i] += v[i];
}

static void sha256(const uint8_t *first, size_t first_length, const uint8_t *second, size_t second_length, uint8_t out[32]) {
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint8_t block[64];
    size_t filled = 0, length = first_length + second_length;
    for (size_t i = 0; i < length; i++) {
        block[filled++] = i < first_length ? first[i] : second[i - first_length];
        if (filled == 64) sha256_block(state, block), filled = 0;
    }
    block[filled++] = 0x80;
    if (filled > 56) {
        memset(block + filled, 0, 64 - filled);
        sha256_block(state, block);
        filled = 0;
    }
    memset(block + filled, 0, 56 - filled);
    for (int i = 0; i < 8; i++) block[56 + i] = (uint8_t)((uint64_t)length * 8 >> (56 - 8 * i));
    sha256_block(state, block);
    for (int i = 0; i < 32; i++) out[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

static void hmac(const void *key, size_t key_length, const char *text, size_t length, uint8_t out[32]) {
    uint8_t inner[64] = {0}, outer[64], hash[32];
    if (key_length > 64) sha256(key, key_length, NULL, 0, inner);
    else memcpy(inner, key, key_length);
    for (int i = 0; i < 64; i++) outer[i] = inner[i] ^ 0x5c, inner[i] ^= 0x36;
    sha256(inner, 64, (const uint8_t *)text, length, hash);
    sha256(outer, 64, hash, 32, out);
}

static const char *base64(const uint8_t bytes[32], char out[45]) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0, o = 0; i < 33; i += 3) {
        uint32_t word = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | (i + 2 < 32 ? bytes[i + 2] : 0);
        for (int shift = 18; shift >= 0; shift -= 6) out[o++] = digits[word >> shift & 63];
    }
    out[43] = '=';
    out[44] = 0;
    return out;
}

static void hex(const uint8_t *bytes, size_t length, char *out) {
    for (size_t i = 0; i < length; i++) sprintf(out + 2 * i, "%02x", bytes[i]);
}

static void digest_of(const struct text *body, char out[64]) {
    uint8_t hash[32];
    char encoded[45];
    sha256((const uint8_t *)body->bytes, body->length, NULL, 0, hash);
    sprintf(out, "sha-256=:%s:", base64(hash, encoded));
}

/* What a source holds after step 2. */
struct session {
    char ticket[2049];
    uint8_t key[32];
};

/* An answer, and what it has to be checked with. */
struct answer {
    int status;
    struct text head, body;
    char authority[256], path[8192], signature[128];
};

static const char *environment(const char *name) {
    const char *value = getenv(name);
    if (!value) fail(1, "set LGSP_ACCESS_KEY and LGSP_SECRET_KEY");
    return value;
}

static void mac(const struct text *base, char out[45]) {
    const char *secret = environment("LGSP_SECRET_KEY");
    uint8_t bytes[32];
    hmac(secret, strlen(secret), base->bytes, base->length, bytes);
    base64(bytes, out);
}

static void random_hex(char out[33]) {
    uint8_t bytes[16];
    FILE *source = fopen("/dev/urandom", "rb");
    if (!source || fread(bytes, 1, sizeof bytes, source) != sizeof bytes) fail(1, "no random bytes");
    fclose(source);
    hex(bytes, sizeof bytes, out);
}

/* Covers one more component: in the list, in the text that is signed, and, for a header, in the request. */
static void cover(struct text *names, struct text *base, struct text *request, const char *name, const char *value) {
    put(names, "%s\"%s\"", names->length ? " " : "", name);
    put(base, "\"%s\": %s\n", name, value);
    if (name[0] != '@') put(request, "%s: %s\r\n", name, value);
}

static int connected_to(const char *authority) {
    char host[256];
    snprintf(host, sizeof host, "%s", authority);
    char *port = strrchr(host, ':');
    if (port) *port++ = 0;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(host, port ? port : "80", &hints, &found)) fail(1, "the host name is not known");
    for (struct addrinfo *each = found; each; each = each->ai_next) {
        int connection = socket(each->ai_family, each->ai_socktype, each->ai_protocol);
        struct timeval deadline = {.tv_sec = DEADLINE_SECS};
        if (connection < 0) continue;
        setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
        setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline);
        if (!connect(connection, each->ai_addr, each->ai_addrlen)) {
            freeaddrinfo(found);
            return connection;
        }
        close(connection);
    }
    fail(1, "nobody listens there");
    return -1;
}

/* A header of the answer, or "". */
static const char *header(const struct answer *answer, const char *name, char *out, size_t room) {
    *out = 0;
    for (const char *line = strstr(answer->head.bytes, "\r\n"); line && line[2]; line = strstr(line + 2, "\r\n")) {
        const char *start = line + 2, *colon = strchr(start, ':'), *end = strstr(start, "\r\n");
        if (!colon || !end || colon > end || (size_t)(colon - start) != strlen(name)) continue;
        if (strncasecmp(start, name, strlen(name))) continue;
        for (colon++; *colon == ' '; colon++) {}
        snprintf(out, room, "%.*s", (int)(end - colon), colon);
    }
    return out;
}

/* Joins the pieces of a chunked body (RFC 9112 section 7.1) in place. */
static void unchunk(struct text *body) {
    size_t from = 0, to = 0;
    for (;;) {
        char *end;
        size_t size = strtoul(body->bytes + from, &end, 16);
        char *start = strstr(end, "\r\n");
        if (!start || !size) break;
        from = (size_t)(start + 2 - body->bytes);
        if (size > body->length - from) fail(1, "the answer was cut");
        memmove(body->bytes + to, body->bytes + from, size);
        to += size, from += size + 2;
        if (from > body->length) break;
    }
    body->length = to;
    body->bytes[to] = 0;
}

static void read_answer(int connection, struct answer *answer) {
    struct text whole = {0};
    char piece[16384], value[64];
    ssize_t length;
    while ((length = read(connection, piece, sizeof piece)) > 0 && whole.length < ANSWER_BYTES_MAX)
        add(&whole, piece, (size_t)length);
    close(connection);
    char *end = whole.bytes ? strstr(whole.bytes, "\r\n\r\n") : NULL;
    if (!end || sscanf(whole.bytes, "HTTP/1.1 %d", &answer->status) != 1) fail(1, "no answer in time");
    add(&answer->head, whole.bytes, (size_t)(end + 2 - whole.bytes));
    add(&answer->body, end + 4, whole.length - (size_t)(end + 4 - whole.bytes));
    free(whole.bytes);
    if (!strcasecmp(header(answer, "transfer-encoding", value, sizeof value), "chunked")) unchunk(&answer->body);
}

/* Signs a request (RFC 9421) and sends it; as part of a session when there is one. */
static void send_request(const char *method, const char *url, const struct text *body, const struct session *session,
                         struct answer *answer) {
    char query[8192] = "?", nonce[33], value[64], encoded[45];
    struct text request = {0}, names = {0}, base = {0}, params = {0};
    if (strncmp(url, "http://", 7)) fail(1, "this client speaks plain HTTP only");
    size_t host = strcspn(url + 7, "/?");
    const char *target = url + 7 + host;
    size_t path = strcspn(target, "?");
    snprintf(answer->authority, sizeof answer->authority, "%.*s", (int)host, url + 7);
    snprintf(answer->path, sizeof answer->path, "%s%.*s", *target == '/' ? "" : "/", (int)path, target);
    if (target[path]) snprintf(query, sizeof query, "%s", target + path);
    random_hex(nonce);

    put(&request, "%s %s%s HTTP/1.1\r\nhost: %s\r\nconnection: close\r\n", method, answer->path,
        query[1] ? query : "", answer->authority);
    cover(&names, &base, &request, "@method", method);
    cover(&names, &base, &request, "@authority", answer->authority);
    cover(&names, &base, &request, "@path", answer->path);
    cover(&names, &base, &request, "@query", query);
    if (body->length) {
        digest_of(body, value);
        cover(&names, &base, &request, "content-digest", value);
        put(&request, "content-type: application/json\r\ncontent-length: %zu\r\n", body->length);
    }
    if (session) {
        struct text said = {0};
        uint8_t bytes[32];
        char proof[65];
        put(&said, "lgsp-session-proof:%s", nonce);
        hmac(session->key, sizeof session->key, said.bytes, said.length, bytes);
        hex(bytes, sizeof bytes, proof);
        cover(&names, &base, &request, "lgsp-session", session->ticket);
        cover(&names, &base, &request, "lgsp-session-proof", proof);
        free(said.bytes);
    }
    put(&params, "(%s);created=%lld;keyid=\"%s\";alg=\"hmac-sha256\";nonce=\"%s\"", names.bytes, (long long)time(NULL),
        environment("LGSP_ACCESS_KEY"), nonce);
    put(&base, "\"@signature-params\": %s", params.bytes);
    mac(&base, encoded);
    snprintf(answer->signature, sizeof answer->signature, "sig1=:%s:", encoded);
    put(&request, "signature-input: sig1=%s\r\nsignature: %s\r\n\r\n", params.bytes, answer->signature);
    if (body->length) add(&request, body->bytes, body->length);

    int connection = connected_to(answer->authority);
    for (size_t sent = 0; sent < request.length;) {
        ssize_t length = write(connection, request.bytes + sent, request.length - sent);
        if (length <= 0) break; /* It may have answered before it closed. */
        sent += (size_t)length;
    }
    read_answer(connection, answer);
    free(request.bytes), free(names.bytes), free(base.bytes), free(params.bytes);
    if (answer->status >= 400) fail(1, answer->body.bytes);
}

/* Asks the platform itself, and returns only when the answer is proved to be its own. */
static void ask_platform(const char *platform, const char *path, const struct text *question, struct answer *answer) {
    struct text url = {0}, base = {0};
    char input[2048], given[256], digest[64], encoded[45], expected[256];
    put(&url, "%.*s%s", (int)(strlen(platform) - (platform[strlen(platform) - 1] == '/')), platform, path);
    send_request("POST", url.bytes, question, NULL, answer);
    header(answer, "signature-input", input, sizeof input);
    header(answer, "signature", given, sizeof given);
    const char *params = strchr(input, '=');
    params = params ? params + 1 : "";
    digest_of(&answer->body, digest);
    put(&base, "\"@status\": %d\n\"content-digest\": %s\n\"@method\";req: POST\n\"@authority\";req: %s\n", answer->status,
        digest, answer->authority);
    put(&base, "\"@path\";req: %s\n\"signature\";req: %s\n\"@signature-params\": %s", answer->path, answer->signature, params);
    mac(&base, encoded);
    snprintf(expected, sizeof expected, "%.*s:%s:", (int)(params - input), input, encoded);
    unsigned differs = strlen(expected) != strlen(given);
    for (size_t i = 0; !differs && expected[i]; i++) differs |= (unsigned)(expected[i] ^ given[i]);
    if (strncmp(params, ANSWER_COVERS, sizeof ANSWER_COVERS - 1) || differs)
        fail(2, "the answer is not signed by the platform for this request");
    free(url.bytes), free(base.bytes);
}

/* A text member of the platform's answers, which are flat and hold no escapes in what is read here. */
static void member(const struct text *json, const char *name, char *out, size_t room) {
    char mark[64];
    snprintf(mark, sizeof mark, "\"%s\":\"", name);
    const char *start = strstr(json->bytes, mark);
    start = start ? start + strlen(mark) : "";
    snprintf(out, room, "%.*s", (int)strcspn(start, "\""), start);
}

static void open_session(const char *platform, const char *service, struct session *session) {
    struct text question = {0};
    struct answer answer = {0};
    char key[65];
    put(&question, "{\"service\":\"%s\"}", service);
    ask_platform(platform, "/lgsp/v1/sessions", &question, &answer);
    member(&answer.body, "ticket", session->ticket, sizeof session->ticket);
    member(&answer.body, "session_key", key, sizeof key);
    for (size_t i = 0; i < sizeof session->key; i++) {
        unsigned byte = 0;
        sscanf(key + 2 * i, "%2x", &byte);
        session->key[i] = (uint8_t)byte;
    }
}

static void quoted(struct text *out, const char *start, size_t length) {
    add(out, "\"", 1);
    for (size_t i = 0; i < length; i++) {
        if (start[i] == '"' || start[i] == '\\') add(out, "\\", 1);
        add(out, start + i, 1);
    }
    add(out, "\"", 1);
}

static void read_all(FILE *file, struct text *out) {
    char piece[16384];
    size_t length;
    add(out, "", 0);
    while ((length = fread(piece, 1, sizeof piece, file)) > 0) add(out, piece, length);
}

/* A request's head as it arrived, as the JSON in which the platform wants it. */
static void read_head(const char *head, struct text *out) {
    size_t method = strcspn(head, " "), target = strcspn(head + method + 1, " "), host_length = 0;
    const char *path = head + method + 1, *query = memchr(path, '?', target), *host = "", *separator = "";
    put(out, "{\"method\":");
    quoted(out, head, method);
    put(out, ",\"path\":");
    quoted(out, path, query ? (size_t)(query - path) : target);
    if (query) put(out, ",\"query\":"), quoted(out, query + 1, target - (size_t)(query + 1 - path));
    put(out, ",\"headers\":[");
    for (const char *line = strstr(head, "\r\n"); line && line[2] && line[2] != '\r'; line = strstr(line + 2, "\r\n")) {
        const char *name = line + 2, *end = strstr(name, "\r\n"), *colon = strchr(name, ':');
        if (!end || !colon || colon > end) break;
        const char *value = colon + 1;
        while (*value == ' ' || *value == '\t') value++;
        while (end > value && isblank((unsigned char)end[-1])) end--;
        if (colon - name == 4 && !strncasecmp(name, "host", 4)) host = value, host_length = (size_t)(end - value);
        put(out, "%s[", separator);
        quoted(out, name, (size_t)(colon - name));
        put(out, ",");
        quoted(out, value, (size_t)(end - value));
        put(out, "]");
        separator = ",";
    }
    put(out, "],\"authority\":");
    quoted(out, host, host_length);
    put(out, "}");
}

int main(int count, char **arguments) {
    struct answer answer = {0};
    struct text body = {0};
    if (count >= 6 && !strcmp(arguments[1], "call")) {
        struct session session;
        if (count > 6) {
            FILE *file = fopen(arguments[6], "rb");
            if (!file) fail(1, "the body file cannot be read");
            read_all(file, &body);
            fclose(file);
        }
        open_session(arguments[2], arguments[3], &session);
        send_request(arguments[4], arguments[5], &body, &session, &answer);
        fwrite(answer.body.bytes, 1, answer.body.length, stdout);
    } else if (count == 4 && !strcmp(arguments[1], "verify")) {
        struct text head = {0}, question = {0};
        char verdict[16], source[64], digest[128];
        read_all(stdin, &head);
        put(&question, "{\"service\":\"%s\",\"request\":", arguments[3]);
        read_head(head.bytes, &question);
        put(&question, "}");
        ask_platform(arguments[2], "/lgsp/v1/verifications", &question, &answer);
        member(&answer.body, "verdict", verdict, sizeof verdict);
        member(&answer.body, "source", source, sizeof source);
        member(&answer.body, "content_digest", digest, sizeof digest);
        if (strcmp(verdict, "accepted")) fail(1, answer.body.bytes);
        printf("accepted %s %s\n", source, *digest ? digest : "no-body");
    } else {
        fail(1, "usage: lgsp call PLATFORM SERVICE METHOD URL [BODY_FILE] | verify PLATFORM SERVICE");
    }
    return 0;
}
