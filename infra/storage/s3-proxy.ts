// Web servers and database servers reach MinIO only through nginx on each storage server. PHP that an attacker has
// taken over can send any request, and MinIO's last free release accepts forged requests; its makers fixed that only in
// other products (docs/decisions/0018-s3-proxy.md has the list).
import { siteName, type StorageSpec } from "../inventory/addresses.ts";
import { PORTS } from "../machine/firewall.ts";
import { renderMain } from "../machine/nginx/nginx.ts";

/**
 * Parameters of S3 requests that Nextcloud and pgBackRest send. nginx refuses any other parameter, and any name with
 * percent-encoding, because it compares the names as they are sent.
 */
const PARAMETERS = [
  // Objects, and uploads in parts.
  "delete",
  "partNumber",
  "uploadId",
  "uploads",
  "versionId",
  "versions",
  "x-id",
  // Lists.
  "continuation-token",
  "delimiter",
  "encoding-type",
  "fetch-owner",
  "key-marker",
  "list-type",
  "location",
  "marker",
  "max-keys",
  "max-parts",
  "max-uploads",
  "part-number-marker",
  "prefix",
  "start-after",
  "upload-id-marker",
  "version-id-marker",
];

/**
 * /etc/nginx/nginx.conf of a storage server. It accepts requests for objects that are signed with AWS Signature Version
 * 4 in their Authorization header; MinIO checks the signature and the rights. nginx does not pass requests to another
 * server's MinIO: that one may not be ready (minio-ready), and clients have the addresses of all servers.
 */
export function renderS3Proxy(node: StorageSpec): string {
  return `# Rendered by infra/storage/s3-proxy.ts; changes made here are overwritten.
${renderMain("www-data", 8192)}
http {
  server_tokens off;
  access_log off;

  # Reasons to refuse a request. First: no signature, an older method, or a signature in the URL. Our clients use none.
  map $http_authorization $unsigned {
    default 1;
    "~^AWS4-HMAC-SHA256 " 0;
  }
  # Uploads whose signature MinIO does not check.
  map $http_x_amz_content_sha256 $unverified {
    default 0;
    "~*UNSIGNED-PAYLOAD-TRAILER" 1;
  }
  # An archive that MinIO would unpack into objects.
  map $http_x_amz_meta_snowball_auto_extract $extracted {
    default 1;
    "" 0;
  }
  map $args $foreign {
    default 1;
    "" 0;
    "~^(?:(?:${PARAMETERS.join("|")})(?:=[^&]*)?(?:&|$))*$" 0;
  }
  # Requests for temporary keys: a POST to the root.
  map "$request_method $uri" $sts {
    default 0;
    "~^(?!GET |HEAD )[A-Z]+ /$" 1;
  }
  map "$unsigned$unverified$extracted$foreign$sts" $refused {
    default 1;
    "00000" 0;
  }

  upstream minio {
    server ${node.privateAddress}:${PORTS.minio} max_fails=0;
    keepalive 64;
  }

  client_max_body_size 0;
  client_body_timeout 300s;
  large_client_header_buffers 4 16k;
  keepalive_timeout 75s;
  keepalive_requests 10000;

  server {
    listen ${node.privateAddress}:${PORTS.s3} ssl backlog=4096;
    ssl_certificate /etc/framaspace/tls/cert.pem;
    ssl_certificate_key /etc/framaspace/tls/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:1m;

    # Administration, health, metrics, and traffic between nodes.
    location ~ "^/+minio(/|$)" {
      return 403;
    }

    location / {
      if ($refused) {
        return 403;
      }
      proxy_pass https://minio;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      # The signature covers this header.
      proxy_set_header Host $http_host;
      proxy_ssl_verify on;
      proxy_ssl_name ${siteName(node.site)};
      proxy_ssl_trusted_certificate /usr/local/share/ca-certificates/framaspace.crt;
      proxy_connect_timeout 2s;
      proxy_send_timeout 300s;
      proxy_read_timeout 300s;
      proxy_request_buffering off;
      proxy_buffering off;
    }
  }
}
`;
}
