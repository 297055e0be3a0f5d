/**
 * Tells onhand, at once, which order changed. Hints only: no quantity, no buyer. What is lost the order feed tells.
 * Signed as Standard Webhooks say: base64(HMAC-SHA256(secret, "id.timestamp.body")), each try with a fresh timestamp.
 */
import { createHmac, randomUUID } from 'crypto';
import { OnApplicationBootstrap } from '@nestjs/common';
import { notNullOrUndefined } from '@vendure/common/lib/shared-utils';
import {
    EventBus, Logger, Order, OrderLine, OrderPlacedEvent, OrderStateTransitionEvent, PluginCommonModule,
    StockMovementEvent, TransactionalConnection, VendurePlugin,
} from '@vendure/core';

const WAITS_MS = [1_000, 10_000, 60_000];

@VendurePlugin({ imports: [PluginCommonModule], compatibility: '^3.0.0' })
export class OnhandPlugin implements OnApplicationBootstrap {
    private static options: { url: string; secret: string };

    /** url: https://…/webhooks/CHANNEL at onhand · secret: the channel's webhook secret, base64, with whsec_ or without */
    static init(options: { url: string; secret: string }) {
        OnhandPlugin.options = options;
        return OnhandPlugin;
    }

    constructor(private eventBus: EventBus, private connection: TransactionalConnection) {}

    onApplicationBootstrap() {
        // Each of them comes when its transaction is committed: whoever is told can read it.
        this.eventBus.ofType(OrderPlacedEvent).subscribe(e => this.tell('order.placed', e.order));
        this.eventBus.ofType(OrderStateTransitionEvent).subscribe(e => {
            if (e.order.orderPlacedAt) this.tell('order.changed', e.order);
        });
        // Parts of orders: cancelled, handed over, added. What somebody counted, or onhand wrote, has no order.
        this.eventBus.ofType(StockMovementEvent).subscribe(async e => {
            const ids = e.stockMovements.map(each => (each as { orderLine?: OrderLine }).orderLine?.id);
            const orders = new Map<string, Order>();
            for (const id of new Set(ids.filter(notNullOrUndefined))) {
                const line = await this.connection.rawConnection
                    .getRepository(OrderLine).findOne({ where: { id }, relations: ['order'] });
                if (line) orders.set(String(line.order.id), line.order);
            }
            orders.forEach(order => this.tell('order.changed', order));
        });
    }

    private async tell(topic: string, order: Order) {
        const id = `msg_${randomUUID()}`;
        const body = JSON.stringify({ topic, order: String(order.id), code: order.code, state: order.state });
        const key = Buffer.from(OnhandPlugin.options.secret.replace(/^whsec_/, ''), 'base64');
        for (const wait of [...WAITS_MS, undefined]) {
            const stamp = String(Math.floor(Date.now() / 1000));
            const signature = createHmac('sha256', key).update(`${id}.${stamp}.${body}`).digest('base64');
            const headers = {
                'content-type': 'application/json', 'webhook-id': id, 'webhook-timestamp': stamp,
                'webhook-signature': `v1,${signature}`,
            };
            try {
                const signal = AbortSignal.timeout(10_000);
                const answer = await fetch(OnhandPlugin.options.url, { method: 'POST', body, headers, signal });
                if (answer.ok) return;
            } catch {
                // Not there, or too slow: once more.
            }
            if (wait) await new Promise(resolve => setTimeout(resolve, wait).unref());
        }
        Logger.warn(`onhand was not told of order ${order.code}; its next poll finds it`, 'OnhandPlugin');
    }
}
