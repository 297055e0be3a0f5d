/** Writes down to the millisecond what the shop did: its own books know seconds only. One JSON line each. */
import { appendFileSync } from 'fs';
import { OnApplicationBootstrap } from '@nestjs/common';
import {
    EventBus, OrderPlacedEvent, OrderStateTransitionEvent, PluginCommonModule, StockLevel, StockMovementEvent,
    TransactionalConnection, VendurePlugin,
} from '@vendure/core';

@VendurePlugin({ imports: [PluginCommonModule], compatibility: '^3.0.0' })
export class WitnessPlugin implements OnApplicationBootstrap {
    constructor(private eventBus: EventBus, private connection: TransactionalConnection) {}

    onApplicationBootstrap() {
        const note = (seen: object) =>
            appendFileSync(String(process.env.SHOP_WITNESS), JSON.stringify({ at: Date.now(), ...seen }) + '\n');
        this.eventBus.ofType(OrderPlacedEvent).subscribe(e => note({ placed: String(e.order.id) }));
        this.eventBus.ofType(OrderStateTransitionEvent).subscribe(e => {
            if (e.toState === 'ArrangingPayment') note({ checked: String(e.order.id) });
            if (e.toState === 'Cancelled') note({ cancelled: String(e.order.id) });
        });
        this.eventBus.ofType(StockMovementEvent).subscribe(async e => {
            if (e.type !== 'ADJUSTMENT') return;
            const at = Date.now();
            for (const { productVariant: { id } } of e.stockMovements) {
                const levels = await this.connection.rawConnection
                    .getRepository(StockLevel).find({ where: { productVariantId: id } });
                const shows = levels.reduce((sum, each) => sum + each.stockOnHand - each.stockAllocated, 0);
                note({ at, written: String(id), shows });
            }
        });
    }
}
