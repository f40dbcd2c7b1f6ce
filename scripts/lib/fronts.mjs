// The reverse proxies that can stand in front of the gateway, each as deploy/ configures it. start(): { dir, port, gatewayPort, topology }.
import { startCaddy } from './caddy.mjs';
import { startHaproxy } from './haproxy.mjs';
import { startNginx, TOPOLOGIES } from './nginx.mjs';

export { TOPOLOGIES };

export const FRONTS = { nginx: startNginx, haproxy: startHaproxy, caddy: startCaddy };
