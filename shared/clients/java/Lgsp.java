import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * A client of the LGSP gateway: opens a session, calls a service in it, verifies a call that reached a target directly.
 *
 * <p>Java 17 and its standard library only; runs as it is: {@code java Lgsp.java …}. The access key and the secret come
 * from LGSP_ACCESS_KEY and LGSP_SECRET_KEY.
 *
 * <pre>
 * java Lgsp.java call PLATFORM SERVICE METHOD URL [BODY_FILE]   source: steps 1 to 3; URL is the platform's or the target's own
 * java Lgsp.java verify PLATFORM SERVICE &lt; REQUEST_HEAD         target: steps 4 to 6; prints who is calling and the digest of its body
 * </pre>
 *
 * <p>Exit status: 0 done, 1 refused (why and what to do is on standard error), 2 the answer is not the platform's.
 */
public final class Lgsp {
    private static final String ANSWER_COVERS =
            "(\"@status\" \"content-digest\" \"@method\";req \"@authority\";req \"@path\";req \"signature\";req)";
    private static final Duration DEADLINE = Duration.ofSeconds(30);

    /** A problem document (RFC 9457): its code is stable, title and next step are for people. */
    static final class Refused extends Exception {
        Refused(String problem) {
            super(problem);
        }
    }

    /** The answer is not signed by the platform for this very request: trust nothing in it. */
    static final class NotGenuine extends Exception {
        NotGenuine() {
            super("the answer is not signed by the platform for this request");
        }
    }

    /** What a source holds after step 2. */
    record Session(String ticket, byte[] key) {}

    /** An answer and the signature of the request it belongs to. */
    record Answer(int status, HttpResponse<byte[]> response, String signature) {}

    private final HttpClient http =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(DEADLINE).build();
    private final SecureRandom random = new SecureRandom();
    private final String accessKey;
    private final byte[] secret;

    Lgsp(String accessKey, String secret) {
        this.accessKey = accessKey;
        this.secret = secret.getBytes(StandardCharsets.UTF_8);
    }

    static byte[] mac(byte[] key, String text) throws GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
    }

    static String base64(byte[] bytes) {
        return Base64.getEncoder().encodeToString(bytes);
    }

    static String digestOf(byte[] body) throws GeneralSecurityException {
        return "sha-256=:" + base64(MessageDigest.getInstance("SHA-256").digest(body)) + ":";
    }

    /** The headers of a signed request (RFC 9421). */
    Map<String, String> sign(String method, URI url, byte[] body, Session session) throws GeneralSecurityException {
        byte[] bytes = new byte[16];
        random.nextBytes(bytes);
        String nonce = HexFormat.of().formatHex(bytes);
        Map<String, String> headers = new LinkedHashMap<>();
        if (body.length > 0) {
            headers.put("content-digest", digestOf(body));
        }
        if (session != null) {
            headers.put("lgsp-session", session.ticket());
            byte[] proof = mac(session.key(), "lgsp-session-proof:" + nonce);
            headers.put("lgsp-session-proof", HexFormat.of().formatHex(proof));
        }
        Map<String, String> lines = new LinkedHashMap<>();
        lines.put("@method", method);
        lines.put("@authority", url.getRawAuthority());
        lines.put("@path", url.getRawPath().isEmpty() ? "/" : url.getRawPath());
        lines.put("@query", "?" + (url.getRawQuery() == null ? "" : url.getRawQuery()));
        lines.putAll(headers);
        String covered = lines.keySet().stream().map(name -> '"' + name + '"').collect(Collectors.joining(" "));
        String params = "(" + covered + ");created=" + Instant.now().getEpochSecond() + ";keyid=\"" + accessKey
                + "\";alg=\"hmac-sha256\";nonce=\"" + nonce + "\"";
        StringBuilder base = new StringBuilder();
        lines.forEach((name, value) -> base.append('"').append(name).append("\": ").append(value).append('\n'));
        base.append("\"@signature-params\": ").append(params);
        headers.put("signature-input", "sig1=" + params);
        headers.put("signature", "sig1=:" + base64(mac(secret, base.toString())) + ":");
        return headers;
    }

    Answer send(String method, URI url, byte[] body, Session session)
            throws GeneralSecurityException, IOException, InterruptedException, Refused {
        Map<String, String> signed = sign(method, url, body, session);
        HttpRequest.BodyPublisher content =
                body.length > 0 ? HttpRequest.BodyPublishers.ofByteArray(body) : HttpRequest.BodyPublishers.noBody();
        HttpRequest.Builder request = HttpRequest.newBuilder(url).timeout(DEADLINE).method(method, content);
        signed.forEach(request::header);
        HttpResponse<byte[]> response = http.send(request.build(), HttpResponse.BodyHandlers.ofByteArray());
        if (response.statusCode() >= 400) {
            throw new Refused(new String(response.body(), StandardCharsets.UTF_8));
        }
        return new Answer(response.statusCode(), response, signed.get("signature"));
    }

    /** Asks the platform itself, and returns its answer once it is proved to be its own. */
    String askPlatform(String platform, String path, String question)
            throws GeneralSecurityException, IOException, InterruptedException, Refused, NotGenuine {
        URI url = URI.create(platform.replaceAll("/$", "") + path);
        Answer answer = send("POST", url, question.getBytes(StandardCharsets.UTF_8), null);
        byte[] body = answer.response().body();
        String input = answer.response().headers().firstValue("signature-input").orElse("");
        String given = answer.response().headers().firstValue("signature").orElse("");
        int label = input.indexOf('=') + 1;
        String params = input.substring(label);
        String base = String.join("\n",
                "\"@status\": " + answer.status(),
                "\"content-digest\": " + digestOf(body),
                "\"@method\";req: POST",
                "\"@authority\";req: " + url.getRawAuthority(),
                "\"@path\";req: " + path,
                "\"signature\";req: " + answer.signature(),
                "\"@signature-params\": " + params);
        String expected = input.substring(0, label) + ":" + base64(mac(secret, base)) + ":";
        boolean genuine = MessageDigest.isEqual(
                expected.getBytes(StandardCharsets.UTF_8), given.getBytes(StandardCharsets.UTF_8));
        if (!params.startsWith(ANSWER_COVERS + ";") || !genuine) {
            throw new NotGenuine();
        }
        return new String(body, StandardCharsets.UTF_8);
    }

    /** Steps 1 and 2. */
    Session openSession(String platform, String service)
            throws GeneralSecurityException, IOException, InterruptedException, Refused, NotGenuine {
        String answer = askPlatform(platform, "/lgsp/v1/sessions", "{\"service\":" + quote(service) + "}");
        return new Session(member(answer, "ticket"), HexFormat.of().parseHex(member(answer, "session_key")));
    }

    /** Steps 4 and 5: what the platform says of a request that arrived here. */
    String verdict(String platform, String service, String request)
            throws GeneralSecurityException, IOException, InterruptedException, Refused, NotGenuine {
        String question = "{\"service\":" + quote(service) + ",\"request\":" + request + "}";
        return askPlatform(platform, "/lgsp/v1/verifications", question);
    }

    /** A request's head as it arrived, in the form in which the platform wants it. */
    static String readHead(String text) {
        String[] lines = text.split("\r\n\r\n", 2)[0].split("\r\n");
        String[] first = lines[0].split(" ");
        String[] target = first[1].split("\\?", 2);
        List<String> headers = new ArrayList<>();
        String host = "";
        for (int at = 1; at < lines.length; at++) {
            String[] field = lines[at].split(":", 2);
            headers.add("[" + quote(field[0]) + "," + quote(field[1].strip()) + "]");
            host = field[0].equalsIgnoreCase("host") ? field[1].strip() : host;
        }
        String query = target.length > 1 ? ",\"query\":" + quote(target[1]) : "";
        return "{\"method\":" + quote(first[0]) + ",\"authority\":" + quote(host) + ",\"path\":" + quote(target[0]) + query
                + ",\"headers\":[" + String.join(",", headers) + "]}";
    }

    static String quote(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }

    /** A text member of the platform's answers, which are flat and hold no escapes in what is read here. */
    static String member(String json, String name) {
        Matcher found = Pattern.compile('"' + name + "\":\"([^\"]*)\"").matcher(json);
        return found.find() ? found.group(1) : "";
    }

    public static void main(String[] arguments) throws Exception {
        Lgsp client = new Lgsp(System.getenv("LGSP_ACCESS_KEY"), System.getenv("LGSP_SECRET_KEY"));
        try {
            if (arguments.length >= 5 && arguments[0].equals("call")) {
                byte[] body = arguments.length > 5 ? Files.readAllBytes(Path.of(arguments[5])) : new byte[0];
                Session session = client.openSession(arguments[1], arguments[2]);
                System.out.write(client.send(arguments[3], URI.create(arguments[4]), body, session).response().body());
                System.out.flush();
            } else if (arguments.length == 3 && arguments[0].equals("verify")) {
                String head = new String(System.in.readAllBytes(), StandardCharsets.ISO_8859_1);
                String verdict = client.verdict(arguments[1], arguments[2], readHead(head));
                if (!member(verdict, "verdict").equals("accepted")) {
                    throw new Refused(verdict);
                }
                String digest = member(verdict, "content_digest");
                System.out.println("accepted " + member(verdict, "source") + " " + (digest.isEmpty() ? "no-body" : digest));
            } else {
                throw new Refused("usage: call PLATFORM SERVICE METHOD URL [BODY_FILE] | verify PLATFORM SERVICE");
            }
        } catch (Refused problem) {
            System.err.println(problem.getMessage());
            System.exit(1);
        } catch (NotGenuine problem) {
            System.err.println(problem.getMessage());
            System.exit(2);
        }
    }
}
