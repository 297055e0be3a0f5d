/** A shop on loopback, with SQLite, onhand's plugin and the witness. Everything it is told, it is told by its environment. */
import {
    bootstrap, DefaultJobQueuePlugin, DefaultLogger, dummyPaymentHandler, JobQueueService, LogLevel, VendureConfig,
} from '@vendure/core';
import { OnhandPlugin } from './onhand-plugin';
import { WitnessPlugin } from './witness';

function told(name: string): string {
    const value = process.env[name];
    if (!value) throw new Error(`${name} is not set`);
    return value;
}

const config: VendureConfig = {
    apiOptions: {
        port: Number(told('SHOP_PORT')), hostname: '127.0.0.1', adminApiPath: 'admin-api', shopApiPath: 'shop-api',
    },
    authOptions: {
        tokenMethod: ['bearer', 'api-key'],
        superadminCredentials: { identifier: told('SHOP_NAME'), password: told('SHOP_PASSWORD') },
        requireVerification: false,
    },
    dbConnectionOptions: { type: 'better-sqlite3', synchronize: true, database: told('SHOP_DATABASE'), logging: false },
    paymentOptions: { paymentMethodHandlers: [dummyPaymentHandler] },
    logger: new DefaultLogger({ level: LogLevel.Info, timestamp: true }),
    plugins: [
        DefaultJobQueuePlugin.init({ useDatabaseForBuffer: true }),
        OnhandPlugin.init({ url: told('ONHAND_URL'), secret: told('ONHAND_SECRET') }),
        WitnessPlugin,
    ],
};

bootstrap(config).then(app => app.get(JobQueueService).start()).catch(error => {
    console.error(error);
    process.exit(1);
});
